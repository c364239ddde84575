"""The programs on our pages print what their comments say.

The blocks of a page continue each other and make one program; below the heading "Cookbook" each is its own.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def blocks(text):
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def programs():
    """Yield every program of every page, with its name."""
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]):
        guide, _, cookbook = page.read_text(encoding="utf-8").partition("\n## Cookbook\n")
        if blocks(guide):
            yield page.name, "\n".join(blocks(guide))
        for number, block in enumerate(blocks(cookbook), 1):
            yield f"{page.name}, recipe {number}", block


PROGRAMS = dict(programs())


@pytest.mark.parametrize("name", PROGRAMS)
def test_prints_what_its_comments_say(run_python, tmp_path, name):
    program = PROGRAMS[name]
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    expected = re.findall(r"^ *print\(.*\) *# (.*)$", program, re.MULTILINE)
    done = run_python("-W", "error", "program.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == expected
    assert len(expected) == program.count("print(") > 0


def test_the_pages_with_programs():
    assert {"README.md", "lmdb.md", "objects.md", "objects.md, recipe 1"} <= set(PROGRAMS)
