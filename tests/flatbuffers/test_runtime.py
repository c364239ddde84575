"""The runtime: with generated code, under its alias `flatbuffers`, and with numpy left alone until used."""

from __future__ import annotations

import importlib.util
import json

import pytest

import zlmdb
from zlmdb import flatbuffers
from zlmdb._flatc import run_flatc

MODULES = ["builder", "compat", "encode", "number_types", "packer", "table", "util"]

SCHEMA = """
namespace game;
enum Color: byte { Red, Green, Blue = 7 }
struct Vec3 { x: float; y: float; z: float; }
table Weapon { name: string; damage: short; }
union Equipment { Weapon }
table Monster {
  pos: Vec3; mana: short = 150; hp: short = 100; name: string (required); inventory: [ubyte];
  color: Color = Blue; weapons: [Weapon]; equipped: Equipment; path: [Vec3]; big: ulong; ratio: double;
}
root_type Monster;
file_identifier "MONS";
"""
MONSTER = {
    "pos": {"x": 1.0, "y": 2.0, "z": 3.0},
    "hp": 300,
    "name": "Orc \u00e4",
    "inventory": list(range(10)),
    "color": "Red",
    "weapons": [{"name": "Sword", "damage": 3}, {"name": "Axe", "damage": 5}],
    "equipped_type": "Weapon",
    "equipped": {"name": "Axe", "damage": 5},
    "path": [{"x": 4.0, "y": 5.0, "z": 6.0}],
    "big": 2**64 - 1,
    "ratio": 0.25,
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Return a directory with the schema and the module generated from it."""
    directory = tmp_path_factory.mktemp("game")
    (directory / "game.fbs").write_text(SCHEMA)
    assert run_flatc(["--python", "--gen-onefile", "--gen-object-api", "game.fbs"], cwd=directory) == 0
    return directory


@pytest.fixture(scope="module")
def game(directory):
    spec = importlib.util.spec_from_file_location("game_generated", directory / "game_generated.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(game):
    """Return MONSTER as a record, built through the generated object API."""
    weapons = [game.WeaponT(weapon["name"], weapon["damage"]) for weapon in MONSTER["weapons"]]
    monster = game.MonsterT(
        pos=game.Vec3T(1.0, 2.0, 3.0),
        hp=300,
        name=MONSTER["name"],
        inventory=MONSTER["inventory"],
        color=game.Color.Red,
        weapons=weapons,
        equippedType=game.Equipment.Weapon,
        equipped=weapons[1],
        path=[game.Vec3T(4.0, 5.0, 6.0)],
        big=2**64 - 1,
        ratio=0.25,
    )
    builder = flatbuffers.Builder(16)
    builder.Finish(monster.Pack(builder), file_identifier=b"MONS")
    return bytes(builder.Output())


def test_flatc_reads_what_the_runtime_writes(game, directory):
    (directory / "built.bin").write_bytes(build(game))
    options = ["--json", "--strict-json", "--natural-utf8", "game.fbs", "--", "built.bin"]
    assert run_flatc(options, cwd=directory) == 0
    assert json.loads((directory / "built.json").read_text(encoding="utf-8")) == MONSTER


def test_the_runtime_reads_what_flatc_writes(game, directory):
    (directory / "monster.json").write_text(json.dumps(MONSTER))
    assert run_flatc(["--binary", "game.fbs", "monster.json"], cwd=directory) == 0
    data = (directory / "monster.bin").read_bytes()
    assert game.Monster.MonsterBufferHasIdentifier(data, 0)
    monster = game.Monster.GetRootAs(memoryview(data))
    assert (monster.Name().decode(), monster.Hp(), monster.Mana()) == (MONSTER["name"], 300, 150)
    assert (monster.Pos().X(), monster.Path(0).Z(), monster.Ratio()) == (1.0, 6.0, 0.25)
    assert [monster.Inventory(i) for i in range(monster.InventoryLength())] == MONSTER["inventory"]
    assert [monster.Weapons(i).Name() for i in range(2)] == [b"Sword", b"Axe"]
    assert (monster.Color(), monster.Big()) == (game.Color.Red, 2**64 - 1)


def test_bytes_of_a_record():
    """A table with one true bool: root offset; padding, vtable; offset of the vtable, padding, value."""
    builder = flatbuffers.Builder(0)
    builder.StartObject(1)
    builder.PrependBoolSlot(0, True, False)
    builder.Finish(builder.EndObject())
    expected = "0c000000 0000 0600 0800 0700 06000000 000000 01"
    assert bytes(builder.Output()) == bytes.fromhex(expected)


def test_errors_are_those_of_the_stock_runtime():
    builder = flatbuffers.Builder()
    with pytest.raises(flatbuffers.builder.BuilderNotFinishedError):
        builder.Output()
    builder.StartObject(0)
    with pytest.raises(flatbuffers.builder.IsNestedError):
        builder.CreateString("")


def test_the_alias_is_the_bundled_package(run_python):
    done = run_python(
        "-c",
        "import zlmdb, flatbuffers, importlib\n"
        "assert flatbuffers is zlmdb.flatbuffers\n"
        f"for name in {MODULES}:\n"
        "    alias = importlib.import_module('flatbuffers.' + name)\n"
        "    assert alias is importlib.import_module('zlmdb.flatbuffers.' + name)\n"
        "    assert alias is getattr(flatbuffers, name)\n"
        "from flatbuffers.builder import Builder\n"
        "assert Builder is zlmdb.flatbuffers.Builder\n"
        "from flatbuffers.reflection.Schema import Schema\n"
        "from importlib.resources import files\n"
        "data = files('zlmdb.flatbuffers').joinpath('reflection.bfbs').read_bytes()\n"
        "assert Schema.GetRootAs(data).Objects(0).Name() == b'reflection.Enum'\n"
        "import flatbuffers.flexbuffers as flex\n"
        "assert flex.Loads(flex.Dumps({'a': [1, 2.5, 'x']})) == {'a': [1, 2.5, 'x']}\n",
    )
    assert done.returncode == 0, done.stderr


def test_the_alias_can_be_put_back(run_python):
    done = run_python(
        "-c",
        "import sys, zlmdb\n"
        "removed = [name for name in sys.modules if name.split('.')[0] == 'flatbuffers']\n"
        "before = [sys.modules.pop(name) for name in removed]\n"
        "assert zlmdb.setup_flatbuffers_import() is None\n"
        "assert [sys.modules[name] for name in removed] == before\n"
        "assert len(before) == 8\n",
    )
    assert done.returncode == 0, done.stderr


def test_a_flatbuffers_imported_earlier_stays(run_python, tmp_path):
    (tmp_path / "flatbuffers.py").write_text("__version__ = 'other'\n")
    done = run_python(
        "-c",
        "import flatbuffers as other, zlmdb, flatbuffers\n"
        "zlmdb.setup_flatbuffers_import()\n"
        "assert flatbuffers is other and other.__version__ == 'other'\n"
        "assert zlmdb.flatbuffers is not other and zlmdb.flatbuffers.__version__ == '25.12.19'\n",
    )
    assert done.returncode == 0, done.stderr


def test_numpy_is_imported_at_its_first_use(run_python, directory):
    done = run_python(
        "-c",
        "import sys, zlmdb, zlmdb.flatbuffers.reflection.Schema, game_generated as game\n"
        "assert game.np is not None\n"
        "builder = zlmdb.flatbuffers.Builder()\n"
        "monster = game.MonsterT(name='a', inventory=[1, 2, 3])\n"
        "assert 'numpy' not in sys.modules\n"
        "builder.Finish(monster.Pack(builder))\n"
        "read = game.Monster.GetRootAs(builder.Output())\n"
        "vector = read.InventoryAsNumpy()\n"
        "import numpy\n"
        "assert type(vector) is numpy.ndarray and vector.tolist() == [1, 2, 3]\n"
        "assert game.np.float32 is numpy.float32 and 'frombuffer' in dir(game.np)\n"
        "assert zlmdb.flatbuffers.compat.import_numpy() is numpy\n",
        cwd=directory,
    )
    assert done.returncode == 0, done.stderr


def test_vectors_from_arrays():
    numpy = pytest.importorskip("numpy")
    builder = flatbuffers.Builder()
    builder.Finish(builder.CreateNumpyVector(numpy.array([1, 2, 3], dtype=">u2")))
    assert bytes(builder.Output()) == bytes.fromhex("04000000 03000000 0100 0200 0300 0000")
    with pytest.raises(TypeError, match="non-numpy-ndarray"):
        builder.CreateNumpyVector([1, 2, 3])


def test_without_numpy_only_arrays_are_missing(run_python):
    done = run_python(
        "-c",
        "from importlib.machinery import PathFinder\n"
        "find_spec = PathFinder.find_spec\n"
        "PathFinder.find_spec = lambda name, *args: None if name == 'numpy' else find_spec(name, *args)\n"
        "import zlmdb\n"
        "from zlmdb.flatbuffers import Builder, builder, compat, number_types\n"
        "assert builder.np is number_types.np is compat.import_numpy() is None\n"
        "try:\n"
        "    Builder().CreateNumpyVector(None)\n"
        "except compat.NumpyRequiredForThisFeature:\n"
        "    print('numpy required')\n",
    )
    assert done.stdout == "numpy required\n", done.stderr


def test_public_names():
    assert flatbuffers.compat_range is range
    assert flatbuffers.Builder is flatbuffers.builder.Builder
    assert flatbuffers.Table is flatbuffers.table.Table
    for name in flatbuffers.__all__:
        assert hasattr(flatbuffers, name)
    assert "flatbuffers" in zlmdb.__all__
