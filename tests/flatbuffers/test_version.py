"""`zlmdb.flatbuffers.version` follows the attributes it is documented to follow."""

from __future__ import annotations

import pytest

from zlmdb import flatbuffers


def test_the_bundled_version():
    assert flatbuffers.__version__ == "25.12.19"
    assert flatbuffers.version()[:3] == (25, 12, 19)


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ("v25.9.23", (25, 9, 23, None, None)),
        ("v25.9.23-71", (25, 9, 23, 71, None)),
        ("v25.9.23-71-g19b2300f", (25, 9, 23, 71, "19b2300f")),
        ("v25.9.23-0-g19b2300f", (25, 9, 23, 0, "19b2300f")),
        ("v25.9.23-g19b2300f", (25, 9, 23, None, "19b2300f")),
        ("19b2300f", (25, 12, 19, None, None)),
        ("unknown", (25, 12, 19, None, None)),
        ("", (25, 12, 19, None, None)),
        ("v25.9", (25, 12, 19, None, None)),
    ],
)
def test_git_describe(monkeypatch, described, expected):
    monkeypatch.setattr(flatbuffers, "__git_version__", described)
    assert flatbuffers.version() == expected


def test_a_release_with_the_letter_of_its_tag(monkeypatch):
    monkeypatch.setattr(flatbuffers, "__git_version__", "unknown")
    monkeypatch.setattr(flatbuffers, "__version__", "v25.9.23")
    assert flatbuffers.version() == (25, 9, 23, None, None)


def test_no_version_at_all(monkeypatch):
    monkeypatch.setattr(flatbuffers, "__git_version__", "unknown")
    monkeypatch.setattr(flatbuffers, "__version__", "unknown")
    assert flatbuffers.version() == (0, 0, 0, None, None)
