"""Finding a published sdist by name, on the index that pip is configured with, without running its build."""

import hashlib
import os
from pathlib import Path

import pytest

from vendoring import pip_settings
from vendoring.download import download
from vendoring.errors import FetchError
from vendoring.pins import Origin
from vendoring.pip_settings import read_pip_settings


@pytest.fixture
def index(thing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index in a folder, which pip's environment variables name; it has the sdist of thing 1.0."""
    archive = thing.archive()
    page = tmp_path / "simple" / "thing" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="{archive.as_uri()}">{archive.name}</a>')
    # What else this machine's pip is configured with is none of this test's business.
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", page.parent.parent.as_uri())
    return archive


def test_an_sdist_is_found_by_name_on_the_index_that_pip_is_configured_with(index, tmp_path):
    digest = hashlib.sha256(index.read_bytes()).hexdigest()
    origin = Origin(paths={}, sdist="thing", version="1.0", sha256=digest)
    assert download(origin, tmp_path / "downloads").read_bytes() == index.read_bytes()


def test_an_archive_with_another_hash_than_the_pinned_one_is_refused(index, tmp_path):
    origin = Origin(paths={}, sdist="thing", version="1.0", sha256="0" * 64)
    with pytest.raises(FetchError, match="0000"):
        download(origin, tmp_path / "downloads")


def test_a_release_that_the_index_lacks_is_reported_with_the_places_searched(index, tmp_path):
    origin = Origin(paths={}, sdist="thing", version="2.0")
    with pytest.raises(
        FetchError, match=r"not where pip is configured to look:\n +file://.*/simple: not found"
    ):
        download(origin, tmp_path / "downloads")


def test_a_place_that_cannot_be_searched_does_not_hide_the_next_one(index, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", os.environ["PIP_INDEX_URL"])
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    found = download(Origin(paths={}, sdist="thing", version="1.0"), tmp_path / "downloads")
    assert found.read_bytes() == index.read_bytes()


def test_every_place_is_reported_with_its_own_reason(index, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "/no/such/folder")
    with pytest.raises(FetchError) as caught:
        download(Origin(paths={}, sdist="thing", version="2.0"), tmp_path / "downloads")
    _, first, second, third = str(caught.value).splitlines()
    assert "/simple: not found" in first
    assert "http://127.0.0.1:9/simple: ConnectError" in second
    assert "/no/such/folder: ValueError" in third


def test_a_password_in_the_url_of_an_index_is_not_shown(index, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:secret@127.0.0.1:9/simple")
    with pytest.raises(FetchError, match=r"127\.0\.0\.1:9/simple") as caught:
        download(Origin(paths={}, sdist="thing", version="1.0"), tmp_path / "downloads")
    assert "secret" not in str(caught.value)


def test_settings_of_the_environment_override_those_of_files(monkeypatch):
    listing = "\n".join(
        [
            ":env:.index-url='https://one.example/simple'",
            ":env:.no-index='0'",
            "global.cert='/etc/authorities.pem'",
            "global.index-url='https://two.example/simple'",
            "global.extra-index-url='https://three.example/simple\\nhttps://four.example/simple'",
            "install.trusted-host='four.example'",
            "list.format='columns'",
        ]
    )
    monkeypatch.setattr(pip_settings, "_run", lambda *_: listing)
    settings = read_pip_settings()
    assert settings.indexes == tuple(f"https://{host}.example/simple" for host in ("one", "three", "four"))
    assert settings.certificates == "/etc/authorities.pem"
    assert settings.trusted_hosts == ("four.example",)


def test_no_index_leaves_the_folders_of_links(monkeypatch):
    listing = ":env:.no-index='1'\n:env:.find-links='/wheels /more'\nglobal.index-url='https://one.example'"
    monkeypatch.setattr(pip_settings, "_run", lambda *_: listing)
    settings = read_pip_settings()
    assert settings.indexes == ()
    assert settings.find_links == ("/wheels", "/more")


def test_the_default_index_is_the_one_of_pip_itself(monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    assert read_pip_settings().indexes[0].startswith("https://")
