"""Rules for the native files: what they run on and load, how they are hardened, what they give away."""

import re
from collections.abc import Iterator
from itertools import groupby

from abi3info import DATAS, FUNCTIONS
from abi3info.models import PyVersion, Symbol

from requirements import OLDEST_PYTHON

from .archive import FLATC, Artifact, Fault
from .elf import Elf, read_elf
from .isa import BASELINE, beyond_baseline, harmful
from .platforms import Platform, platform_of

LIMITED_API = PyVersion(*OLDEST_PYTHON)
INIT_FUNCTIONS = {"cpython": "PyInit__lmdb_cffi", "pypy": "_cffi_pypyinit__lmdb_cffi"}

# Absolute paths of places where things are built.
BUILD_PATH = re.compile(rb"/(?:home|root|tmp|var/tmp|builds?|project|work|workspace|opt|Users)/[\w./+-]{2,}")
LEFTOVER_SECTIONS = re.compile(r"\.(debug_\w+|zdebug_\w+|symtab|strtab|gnu_debuglink|gnu_debugdata|stab\w*)")
MAX_SHOWN = 3


def check(artifact: Artifact) -> Iterator[Fault]:
    """Yield what is wrong with the native files of `artifact`."""
    yield from _check_presence(artifact)
    platform = platform_of(artifact)
    for file, content in artifact.native.items():
        try:
            elf = read_elf(content)
        except ValueError as error:
            yield Fault("elf", file, str(error))
            continue
        exports = _check_program_exports(elf) if file == FLATC else _check_module_exports(elf, platform)
        target = [*_check_platform(elf, platform), *_check_instructions(elf)]
        leftovers = [*_check_leftovers(elf), *_check_build_paths(content)]
        for rule, reason in [*target, *_check_hardening(elf), *exports, *leftovers]:
            yield Fault(rule, file, reason)


Finding = tuple[str, str]
"""Name of the broken rule, and the reason."""


def _check_presence(artifact: Artifact) -> Iterator[Fault]:
    for file in artifact.native.keys() - {FLATC, artifact.module}:
        yield Fault("contents", file, "a native file that does not belong here")
    if not artifact.module:
        yield Fault("contents", artifact.name, "the CFFI module is missing")
    if FLATC not in artifact.native:
        yield Fault("contents", FLATC, "missing, or no ELF file")


def _check_platform(elf: Elf, platform: Platform) -> Iterator[Finding]:
    if elf.machine != platform.machine:
        yield "machine", f"is for {elf.machine}, but the package for {platform.machine}"
    for library in elf.needed:
        if library not in platform.libraries:
            allowed = ", ".join(sorted(platform.libraries))
            yield "libraries", f"needs {library}; the platform has only {allowed}"
    for library, versions in elf.versions.items():
        for version in versions:
            if platform.glibc and _glibc_version(version) > platform.glibc:
                limit = ".".join(map(str, platform.glibc))
                yield "glibc", f"needs {version} of {library}, newer than the {limit} of the package's tag"


def _glibc_version(version: str) -> tuple[int, ...]:
    name, _, numbers = version.partition("_")
    return tuple(map(int, numbers.split("."))) if name == "GLIBC" and numbers[:1].isdigit() else ()


def _check_hardening(elf: Elf) -> Iterator[Finding]:
    if not elf.position_independent:
        yield "hardening", "is not position-independent (compile with -fPIC, link with -pie)"
    if not elf.relro:
        yield "hardening", "no RELRO segment (link with -z relro)"
    if not elf.bind_now:
        yield "hardening", "symbols are not bound at start, so RELRO is partial (link with -z now)"
    if elf.executable_stack:
        yield "hardening", "the stack is executable (link with -z noexecstack)"
    if elf.writable_code:
        yield "hardening", "has memory that is both writable and executable"
    if elf.text_relocations:
        yield "hardening", "relocations change its code (compile with -fPIC)"


def _check_instructions(elf: Elf) -> Iterator[Finding]:
    if not elf.code:
        yield "instructions", "no section of code, so nothing can be checked"
    if elf.machine not in BASELINE:
        return
    found = harmful(each for code in elf.code for each in beyond_baseline(elf.machine, code))
    by_extension = sorted(found, key=lambda each: each.extension)
    for extension, group in groupby(by_extension, key=lambda each: each.extension):
        first, *others = group
        yield (
            "instructions",
            f"{first}: {extension}, beyond {BASELINE[elf.machine]} ({len(others)} more of it)",
        )


def _check_program_exports(elf: Elf) -> Iterator[Finding]:
    if elf.exported:
        yield "exports", f"a program, but it exports {_shortened(elf.exported)}"


def _check_module_exports(elf: Elf, platform: Platform) -> Iterator[Finding]:
    init = INIT_FUNCTIONS[platform.implementation]
    if elf.exported != (init,):
        yield "exports", f"must export {init} alone, but exports {_shortened(elf.exported) or 'nothing'}"
    python = [name for name in elf.imported if re.match(r"_?Py", name)]
    if platform.implementation == "pypy" and python:
        yield "abi", f"needs {_shortened(python)} of CPython, but is for PyPy"
    if platform.abi3:
        for name in python:
            if reason := _not_limited(name):
                yield "abi", f"needs {name}, {reason}, but is for abi3 from Python {LIMITED_API} on"


def _not_limited(name: str) -> str | None:
    """Return why a symbol is not in the stable ABI of the oldest Python that is supported; None if it is."""
    known = FUNCTIONS.get(Symbol(name)) or DATAS.get(Symbol(name))
    if known is None:
        return "which is not in the stable ABI"
    return f"which is new in Python {known.added}" if known.added > LIMITED_API else None


def _check_leftovers(elf: Elf) -> Iterator[Finding]:
    if elf.search_paths:
        yield "rpath", f"looks for libraries in {', '.join(elf.search_paths)}"
    if elf.has_build_id:
        yield "build-id", "has a build id (link with --build-id=none)"
    for section in elf.sections:
        if LEFTOVER_SECTIONS.fullmatch(section):
            yield "debug", f"has a section {section} (link with -s)"


def _check_build_paths(content: bytes) -> Iterator[Finding]:
    for match in BUILD_PATH.finditer(content):
        yield "build-path", f"holds the path {match.group().decode()} at offset {match.start():#x}"


def _shortened(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return ", ".join(names[:MAX_SHOWN]) + more
