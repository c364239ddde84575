"""The examples of the LMDB guide, run as one program, print what their comments say."""

from __future__ import annotations

import re
from pathlib import Path

GUIDE = (Path(__file__).parents[2] / "docs" / "lmdb.md").read_text(encoding="utf-8")


def test_the_examples_print_what_their_comments_say(run_python, tmp_path):
    program = "\n".join(re.findall(r"^```python\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE))
    (tmp_path / "guide.py").write_text(program, encoding="utf-8")
    expected = re.findall(r"^ *print\(.*\)  # (.*)$", program, re.MULTILINE)
    done = run_python("-W", "error", "guide.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == expected
    assert len(expected) == program.count("print(") > 20


def test_the_table_of_engines():
    from zlmdb.lmdb import engine

    for major, data_format in ((0, 1), (1, 3)):
        assert engine.MAJOR_OF_FORMAT[data_format] == major
        assert lmdb_version(major) in GUIDE


def lmdb_version(major):
    from zlmdb import lmdb

    return "LMDB {}.{}".format(*lmdb.version(lib_version=major))
