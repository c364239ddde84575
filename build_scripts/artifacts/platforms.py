"""What a package says it is for: the tags of a wheel, the record of a conda package."""

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass
from email.parser import HeaderParser

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from requirements import OLDEST_PYTHON

from .archive import CONDA_MACHINES, Artifact, ArtifactError, Fault

# Of the libraries that the manylinux policies allow, those of the C library itself.
GLIBC_LIBRARIES = frozenset(
    f"{name}.so.{number}"
    for name, number in {"libc": 6, "libm": 6, "libpthread": 0, "libdl": 2, "librt": 1}.items()
) | {"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
# Not libc.so, zig's name of it: auditwheel refuses that.
MUSL_LIBRARIES = frozenset({"libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"})

MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_(\w+)")
LEGACY = {"manylinux2014": "manylinux_2_17", "manylinux2010": "manylinux_2_12", "manylinux1": "manylinux_2_5"}
MUSLLINUX = re.compile(r"musllinux_\d+_\d+_(\w+)")
ABI3_SUFFIX = "abi3.so"
ABI3_TAG = "cp{}{}".format(*OLDEST_PYTHON)

INDEX = "info/index.json"
CONDA_GLIBC = (2, 17)
"""What conda packages for Linux may count on, unless they depend on a newer one."""


@dataclass(frozen=True)
class Platform:
    """The machine, system and Python that a package is for."""

    machine: str
    libraries: Set[str]
    """Shared libraries that are there."""
    glibc: tuple[int, int] | None
    """The oldest version of the C library; None if it is not glibc."""
    implementation: str
    """`cpython` or `pypy`."""
    abi3: bool


def platform_of(artifact: Artifact) -> Platform:
    """Return what `artifact` says it is for.

    Raises:
        ArtifactError: That cannot be read, or is not Linux.
    """
    return _wheel_platform(artifact) if artifact.is_wheel else _conda_platform(artifact)


def wheel_tags(artifact: Artifact) -> frozenset[Tag]:
    """Return the tags in the name of a wheel.

    Raises:
        ArtifactError: The name is malformed.
    """
    try:
        return parse_wheel_filename(artifact.name)[3]
    except InvalidWheelFilename as error:
        raise ArtifactError(f"{artifact.name}: {error}") from error


def _wheel_platform(artifact: Artifact) -> Platform:
    tags = wheel_tags(artifact)
    pythons = {(tag.interpreter, tag.abi) for tag in tags}
    policies = [_policy(tag.platform) for tag in tags]
    machines = {machine for _, machine in policies}
    if len(pythons) > 1 or len(machines) > 1:
        raise ArtifactError(f"{artifact.name}: one native module cannot be for several Pythons or machines")
    ((interpreter, abi),), (machine,) = pythons, machines
    implementation = "pypy" if interpreter.startswith("pp") else "cpython"
    glibc = min((version for version, _ in policies if version), default=None)
    return Platform(
        machine, GLIBC_LIBRARIES if glibc else MUSL_LIBRARIES, glibc, implementation, abi == "abi3"
    )


def _policy(platform: str) -> tuple[tuple[int, int] | None, str]:
    """Return the version of glibc (None for musl) and the machine of a platform tag."""
    name, _, rest = platform.partition("_")
    if match := MANYLINUX.fullmatch(f"{LEGACY[name]}_{rest}" if name in LEGACY else platform):
        return (int(match[1]), int(match[2])), match[3]
    if match := MUSLLINUX.fullmatch(platform):
        return None, match[1]
    raise ArtifactError(
        f"the platform tag {platform} promises nothing about the C library; `auditwheel repair` finds"
        " the right one"
    )


def _conda_platform(artifact: Artifact) -> Platform:
    subdir = artifact.conda_info(INDEX).get("subdir")
    if subdir not in CONDA_MACHINES:
        raise ArtifactError(f"{artifact.name}: the subdir {subdir!r} is none of {', '.join(CONDA_MACHINES)}")
    abi3 = (artifact.module or "").endswith(ABI3_SUFFIX)
    asked = re.search(r"^__glibc >=(\d+)\.(\d+)", "\n".join(_depends(artifact)), re.MULTILINE)
    glibc = (int(asked[1]), int(asked[2])) if asked else CONDA_GLIBC
    return Platform(CONDA_MACHINES[subdir], GLIBC_LIBRARIES, glibc, "cpython", abi3)


def _depends(artifact: Artifact) -> list[str]:
    """Return what a conda package depends on."""
    depends = artifact.conda_info(INDEX).get("depends", [])
    return [str(each) for each in depends] if isinstance(depends, list) else []


def check(artifact: Artifact) -> Iterator[Fault]:
    """Yield where tags or record differ from the binary that is really inside."""
    if artifact.is_wheel:
        yield from artifact.check_metadata("tags", "WHEEL", _check_wheel_file)
    else:
        yield from _check_conda_record(artifact)
    if artifact.module:
        yield from _check_suffix(artifact, artifact.module)


def _check_wheel_file(artifact: Artifact, file: str, content: str) -> Iterator[Fault]:
    header = HeaderParser().parsestr(content)
    inside = set(header.get_all("Tag", []))
    outside = {str(tag) for tag in wheel_tags(artifact)}
    if inside != outside:
        differ = ", ".join(sorted(inside ^ outside))
        yield Fault("tags", file, f"its tags differ from those of the name in {differ}")
    if header["Root-Is-Purelib"] != "false":
        yield Fault("tags", file, "Root-Is-Purelib must be false: there is native code")
    for tag in wheel_tags(artifact):
        if tag.abi == "abi3" and tag.interpreter != ABI3_TAG:
            yield Fault(
                "tags", artifact.name, f"the tag {tag} should be {ABI3_TAG}-abi3, what the module needs"
            )


def _check_conda_record(artifact: Artifact) -> Iterator[Fault]:
    if platform_of(artifact).abi3 and not any(each.startswith("cpython") for each in _depends(artifact)):
        yield Fault("tags", INDEX, "has a module for CPython, but does not depend on cpython")


def _check_suffix(artifact: Artifact, module: str) -> Iterator[Fault]:
    expected = _suffix(artifact)
    suffix = module.rpartition("/")[2].partition(".")[2]
    if not re.fullmatch(expected, suffix):
        yield Fault("tags", module, f"the suffix {suffix} is not that of the package's tags, {expected}")


def _suffix(artifact: Artifact) -> str:
    """Return a pattern for the suffix of the module: `abi3.so`, `pypy311-pp73-x86_64-linux-gnu.so`, ..."""
    platform = platform_of(artifact)
    if not artifact.is_wheel or platform.abi3:
        return re.escape(ABI3_SUFFIX)
    tag = next(iter(wheel_tags(artifact)))
    library = "gnu" if platform.glibc else "musl"
    abi = tag.abi.replace("_", "-") if platform.implementation == "pypy" else f"cpython-{tag.abi[2:]}"
    return rf"{abi}-{platform.machine}-linux-{library}\.so"
