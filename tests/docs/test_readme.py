"""What the README says is so: its programs print what their comments say, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    """Return the fenced blocks of the README in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_the_programs_print_what_their_comments_say(run_python, tmp_path):
    program = "\n".join(blocks("python"))
    (tmp_path / "readme.py").write_text(program, encoding="utf-8")
    expected = re.findall(r"^ *print\(.*\)  # (.*)$", program, re.MULTILINE)
    done = run_python("-W", "error", "readme.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == expected
    assert len(expected) == program.count("print(") > 0


def test_the_set_up_commands():
    """These exact lines are promised to work in a clone."""
    assert blocks("sh") == [
        "python3 -m pip install '.[examples]' && python3 examples/airports.py\n",
        "python3 -m pip install -e '.[test]' && python3 -m pytest\n",
    ]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert links or page == "CHANGELOG.md"
    assert [link for link in links if not (ROOT / link).exists()] == []
