"""The facts about an ELF file that the rules ask for, read with pyelftools."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import NoteSection, SymbolTableSection

SECTION_EXECUTABLE = 4  # SHF_EXECINSTR
SEGMENT_EXECUTABLE = 1  # PF_X
WRITABLE_CODE = SEGMENT_EXECUTABLE | 2  # PF_W
DF_TEXTREL = 0x4
DF_BIND_NOW = 0x8
DF_1_NOW = 0x1


@dataclass(frozen=True)
class Code:
    """An executable section."""

    section: str
    address: int
    data: bytes


@dataclass(frozen=True)
class Elf:
    """What an ELF file says about itself."""

    machine: str
    """As in wheel tags: `x86_64`, `aarch64`; else the name of the ELF machine."""
    position_independent: bool
    needed: tuple[str, ...]
    """Names of the shared libraries that it loads."""
    versions: Mapping[str, tuple[str, ...]]
    """Symbol versions that it needs of each of them, such as `GLIBC_2.17`."""
    search_paths: tuple[str, ...]
    """Library search paths baked in."""
    sections: tuple[str, ...]
    has_build_id: bool
    relro: bool
    bind_now: bool
    executable_stack: bool
    writable_code: bool
    text_relocations: bool
    exported: tuple[str, ...]
    """Names of the dynamic symbols that it defines."""
    imported: tuple[str, ...]
    """Names of the dynamic symbols that it expects elsewhere."""
    code: tuple[Code, ...]


def read_elf(content: bytes) -> Elf:
    """Read the facts.

    Raises:
        ValueError: `content` is no well-formed ELF file.
    """
    try:
        return _read(ELFFile(io.BytesIO(content)))
    except Exception as error:  # pyelftools believes what a file says, and fails in many ways.
        raise ValueError(f"not a well-formed ELF file: {error or type(error).__name__}") from error


MACHINES = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64"}


def _read(elf: ELFFile) -> Elf:
    tags = [tag for section in _sections(elf, DynamicSection) for tag in section.iter_tags()]
    notes = [note for section in _sections(elf, NoteSection) for note in section.iter_notes()]
    dynamic = {tag.entry.d_tag: tag.entry.d_val for tag in tags}  # of several the last, as for the loader
    flags, more_flags = dynamic.get("DT_FLAGS", 0), dynamic.get("DT_FLAGS_1", 0)
    segments = {segment["p_type"]: segment["p_flags"] for segment in elf.iter_segments()}
    exported, imported = _dynamic_symbols(elf)
    return Elf(
        machine=MACHINES.get(elf["e_machine"], str(elf["e_machine"])),
        position_independent=elf["e_type"] == "ET_DYN",
        needed=tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"),
        versions=dict(_needed_versions(elf)),
        search_paths=tuple(
            getattr(tag, name) for tag in tags for name in ("rpath", "runpath") if hasattr(tag, name)
        ),
        sections=tuple(section.name for section in elf.iter_sections()),
        has_build_id=any(note["n_type"] == "NT_GNU_BUILD_ID" for note in notes),
        relro="PT_GNU_RELRO" in segments,
        bind_now="DT_BIND_NOW" in dynamic or bool(flags & DF_BIND_NOW or more_flags & DF_1_NOW),
        executable_stack=bool(segments.get("PT_GNU_STACK", SEGMENT_EXECUTABLE) & SEGMENT_EXECUTABLE),
        writable_code=any(
            segment["p_flags"] & WRITABLE_CODE == WRITABLE_CODE
            for segment in elf.iter_segments()
            if segment["p_type"] == "PT_LOAD"
        ),
        text_relocations="DT_TEXTREL" in dynamic or bool(flags & DF_TEXTREL),
        exported=exported,
        imported=imported,
        code=tuple(
            Code(section.name, section["sh_addr"], section.data())
            for section in elf.iter_sections()
            if section["sh_flags"] & SECTION_EXECUTABLE
        ),
    )


def _sections(elf: ELFFile, kind: type) -> list[Any]:
    return [section for section in elf.iter_sections() if isinstance(section, kind)]


def _needed_versions(elf: ELFFile) -> Iterator[tuple[str, tuple[str, ...]]]:
    for section in _sections(elf, GNUVerNeedSection):
        if section.num_versions() > section.data_size:
            raise ValueError(f"{section.name} is shorter than it says")
        for library, versions in section.iter_versions():
            yield library.name, tuple(version.name for version in versions)


def _dynamic_symbols(elf: ELFFile) -> tuple[tuple[str, ...], tuple[str, ...]]:
    symbols = elf.get_section_by_name(".dynsym")
    if not isinstance(symbols, SymbolTableSection):
        return (), ()
    named = [symbol for symbol in symbols.iter_symbols() if symbol.name]
    imported = tuple(symbol.name for symbol in named if symbol["st_shndx"] == "SHN_UNDEF")
    exported = tuple(symbol.name for symbol in named if symbol["st_shndx"] != "SHN_UNDEF")
    return exported, imported
