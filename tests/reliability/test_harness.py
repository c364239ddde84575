"""The harness itself finds what it is to find: one that sees nothing would be just as content."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .audit import differences
from .child import Child
from .disk import Disk
from .marks import Marks
from .recording import Event, Kind
from .script import Script
from .stores import TOTAL, State, misfits

SCRIPT = Script("harness", 0)
STEPS = 30
DATA = Path("data")
ALL = 1 << 40


def state(steps: int) -> State:
    """What a store has that has lost nothing."""
    return State({0: steps}, steps, SCRIPT.records(steps), [])


def images(events: list[Event], unit: int = 512, journal: bool = True, ordered: bool = False) -> list:
    """Many images of what a disk may hold after events."""
    disk, rng = Disk(journal), random.Random(1)
    for event in events:
        disk.apply(event)
    return [disk.image(rng, unit, ordered) for _ in range(300)]


def event(kind: Kind, path: Path = DATA, offset: int = 0, data: bytes = b"") -> Event:
    return Event(kind, path, offset, len(data) or ALL, data)


OLD = [event(Kind.CREATE), event(Kind.WRITE, data=b"a" * 8192), event(Kind.SYNC)]


# -- the audit --


def test_a_sound_state_passes():
    assert differences(state(STEPS), [SCRIPT], [(STEPS, STEPS)]) == []


@pytest.mark.parametrize("steps", [STEPS - 1, STEPS + 2])
def test_lost_and_invented_steps_are_noticed(steps):
    assert differences(state(steps), [SCRIPT], [(STEPS, STEPS + 1)])


def test_lost_changed_and_invented_records_are_noticed():
    records = SCRIPT.records(STEPS)
    key = next(iter(records))
    for changed in [
        {other: record for other, record in records.items() if other != key},
        {**records, key: {**records[key], "text": "?"}},
        {**records, TOTAL: records[key]},
    ]:
        assert differences(state(STEPS)._replace(records=changed), [SCRIPT], [(STEPS, STEPS)])


def test_steps_that_were_not_counted_are_noticed():
    assert differences(state(STEPS)._replace(total=STEPS - 1), [SCRIPT], [(STEPS, STEPS)])


def test_index_records_that_lead_nowhere_or_are_missing_are_noticed():
    records = SCRIPT.records(STEPS)
    mails = {record["mail"]: key for key, record in records.items()}
    cities = {(record["city"], key) for key, record in records.items() if record["city"] is not None}
    assert misfits(records, mails, cities) == []
    assert misfits(records, {**mails, "nobody": 7}, cities)
    assert misfits(records, mails, set(list(cities)[1:]))


# -- the disk --


def test_what_was_synced_is_in_every_image():
    assert {bytes(image[DATA]) for image in images(OLD)} == {b"a" * 8192}


def test_a_synced_range_is_there_and_the_rest_may_not_be():
    new = [event(Kind.WRITE, data=b"b" * 8192), Event(Kind.SYNC, DATA, 4096, 4096, b"")]
    contents = [image[DATA] for image in images([*OLD, *new])]
    assert {content[4096:] for content in contents} == {b"b" * 4096}
    assert {b"a" * 4096, b"b" * 4096} <= {content[:4096] for content in contents}


@pytest.mark.parametrize("unit", [512, 4096])
def test_what_was_not_synced_is_there_in_any_units(unit):
    contents = {image[DATA] for image in images([*OLD, event(Kind.WRITE, data=b"b" * 8192)], unit)}
    assert {b"a" * 8192, b"b" * 8192} < contents
    whole = [[set(content[at : at + unit]) for at in range(0, 8192, unit)] for content in contents]
    assert all(len(part) == 1 for parts in whole for part in parts)
    assert {len([part for part in parts if part == {ord("b")}]) for parts in whole} >= {0, 1, 8192 // unit}


def test_later_writes_may_arrive_without_earlier_ones_unless_in_order():
    new = [event(Kind.WRITE, data=b"b"), event(Kind.WRITE, offset=4096, data=b"c")]
    reordered = {(image[DATA][0], image[DATA][4096]) for image in images([*OLD, *new])}
    ordered = {(image[DATA][0], image[DATA][4096]) for image in images([*OLD, *new], ordered=True)}
    assert reordered == {(x, y) for x in b"ab" for y in b"ac"}
    assert ordered == reordered - {(ord("a"), ord("c"))}


def test_a_file_may_be_shorter_or_hold_zeros_where_nothing_has_arrived():
    contents = {image[DATA] for image in images([*OLD, event(Kind.WRITE, offset=12288, data=b"d" * 512)])}
    assert {b"a" * 8192, b"a" * 8192 + bytes(4096) + b"d" * 512} <= contents


def test_names_come_with_the_file_or_only_with_their_folder():
    copy = [
        event(Kind.FOLDER, Path("new")),
        event(Kind.CREATE, Path("new/data")), event(Kind.SYNC, Path("new/data")),
        event(Kind.RENAME, Path("new"), data=b"copy"), event(Kind.SYNC_FOLDER, Path()),
    ]  # fmt: skip
    target = Path("copy/data")
    assert all(target in image for image in images(copy))
    assert {target in image for image in images(copy, journal=False)} == {False, True}
    synced = [*copy[:3], event(Kind.SYNC_FOLDER, Path("new")), *copy[3:]]
    assert all(target in image for image in images(synced, journal=False))
    assert {target in image for image in images(copy[:-1])} == {False, True}


# -- processes --


def test_what_a_killed_process_has_marked_is_known():
    marks = Marks(2)

    def work():
        marks.begin(1, 1)
        marks.acknowledge(1, 1)
        marks.begin(1, 2)
        os.kill(os.getpid(), signal.SIGKILL)

    assert Child(work).result().signal == signal.SIGKILL
    assert (marks.begun(1), marks.acknowledged(1), marks.begun(0)) == (2, 1, 0)


def test_a_crash_an_error_and_a_hang_are_told_apart():
    def crash():
        os.abort()

    def fail():
        raise ValueError("why")

    def hang():
        signal.pause()

    assert Child(crash).result().signal == signal.SIGABRT
    assert "ValueError: why" in Child(fail).result().described()
    hanging = Child(hang).result(0.1)
    assert hanging.signal == signal.SIGALRM
    assert hanging.described().startswith("signal 14: hangs")
    assert Child(lambda: [1, "x"]).result().value == [1, "x"]


def test_a_failure_says_how_to_repeat_it_and_keeps_the_files(tmp_path):
    """With a trial that fails, in place of one of the modes."""
    program = (
        "import sys\n"
        "from tests.reliability import __main__, campaign, kills\n"
        "def trial(case):\n"
        "    (case.folder / 'file').write_text(case.name)\n"
        "    if case.number % 2:\n"
        "        raise campaign.Failure('lost')\n"
        "    return {'kills': 1}\n"
        "kills.MODE = campaign.Mode(trial, 'kills')\n"
        "sys.exit(__main__.main())\n"
    )
    options = ["kills", "--engine", "1.0", "--trials", "4", "--seed", "7", "--keep", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", program, *options], cwd=Path(__file__).parents[2],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "--engine 1.0 --seed 7 --first 3 --trials 1" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("kills, LMDB 1.0: 2 FAILED; ")
    assert (tmp_path / "kills.1.0.7.3" / "file").read_text() == "kills.1.0.7.3"
