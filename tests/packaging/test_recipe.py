"""What the recipe repeats, because conda has no other way to know it, is what the project says."""

from ruamel.yaml import YAML

from requirements import PROJECT
from vendoring.pins import ROOT, Vendor

# Values with Jinja expressions are plain YAML as long as they are not evaluated.
RECIPE = YAML(typ="safe").load(ROOT / "recipe" / "recipe.yaml")


def test_the_commands():
    scripts = PROJECT["project"]["scripts"]
    assert RECIPE["build"]["python"]["entry_points"] == [f"{key} = {value}" for key, value in scripts.items()]


def test_the_requirements():
    wanted = [each for each in PROJECT["project"]["dependencies"] if "== 'PyPy'" not in each]
    listed = [
        each.replace(" ", "") for each in RECIPE["requirements"]["run"] if not each.startswith("python")
    ]
    assert listed == [each.partition(";")[0] for each in wanted]


def test_the_licences():
    assert RECIPE["about"]["license"] == PROJECT["project"]["license"]
    texts = [f"vendor/src/{pin.name}/{file}" for pin in Vendor().pins() for file in pin.license_files]
    assert sorted(RECIPE["about"]["license_file"]) == sorted(["LICENSE", *texts])


def test_the_addresses():
    addresses = PROJECT["project"]["urls"]
    for name in ("homepage", "repository", "documentation"):
        assert RECIPE["about"][name] == addresses[name.title()]


def test_nothing_rewrites_the_binaries():
    build = RECIPE["build"]
    assert build["dynamic_linking"]["binary_relocation"] is False
    assert build["prefix_detection"]["ignore_binary_files"] is True
