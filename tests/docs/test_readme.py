"""The README mentions what there is, and the links of all pages lead somewhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from zlmdb.cli import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
FILES = "https://github.com/crossbario/zlmdb/blob/HEAD/"
"""Where the files of this tree are shown."""
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_set_up_commands():
    """These exact lines are promised to work in a clone."""
    assert re.findall(r"^```sh\n(.*?)^```$", README, re.DOTALL | re.MULTILINE) == [
        "python3 -m venv .venv && . .venv/bin/activate\n",
        "python3 -m pip install -v '.[examples]' && python3 examples/airports.py\n",
        "python3 -m pip install -v -e '.[test]' && python3 -m pytest\n",
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_mentioned(name):
    assert f"`zlmdb {name} " in README


def slug(heading):
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def links(page):
    """Return the links of a page, without those in code."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"\]\(([^)]+)\)", re.sub(r"`[^`]*`", "", prose))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in links(page):
        if "://" in link and not link.startswith(FILES):
            continue
        path, _, anchor = link.removeprefix(FILES).partition("#")
        folder = ROOT if link.startswith(FILES) else page.parent
        target = folder / path if path else page
        assert target.exists(), link
        headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
        assert not anchor or anchor in map(slug, headings), link


def test_no_link_of_the_readme_is_lost_on_the_package_index():
    """There it is shown without the files beside it."""
    assert [link for link in links(ROOT / "README.md") if "://" not in link] == []
    assert any(link.startswith(FILES) for link in links(ROOT / "README.md"))


def test_the_addresses_of_the_project_are_those_of_its_pages():
    addresses = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    assert addresses["Repository"] + "/blob/HEAD/" == FILES
    assert addresses["Changelog"] == FILES + "CHANGELOG.md"
    assert (ROOT / addresses["Documentation"].partition("/tree/HEAD/")[2]).is_dir()


def test_numpy_is_named_where_times_are():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert "datetime64" not in text or "pip install 'zlmdb[numpy]'" in text, page
