"""Machine code beyond the baseline of its architecture is found, and nothing else."""

import pytest

from artifacts.elf import Code
from artifacts.isa import BENIGN, beyond_baseline, harmful

# Encodings from the manuals of the architectures.
BEYOND = {
    "x86_64": {
        "popcnt": "f3480fb8c0", "SSE3": "f20fd0c1", "SSSE3": "660f3800c1", "SSE4.1": "660f3817c1",
        "SSE4.2": "f20f38f1c0", "CX16": "480fc70e", "LAHF": "9f", "LZCNT": "f3480fbdc0", "BMI1": "c4e278f2c1",
        "BMI2": "c4e27bf6c1", "MOVBE": "0f38f000", "AVX": "c5f458c1", "AVX2": "c5f5fec2", "FMA": "c4e2f198c2",
        "AVX-512": "62f1744858c2", "AES": "660f38dcc1", "PCLMUL": "660f3a44c100", "SHA": "0f38c8c1",
        "XSAVE": "0fae20",
    },
    "aarch64": {
        "LSE": "4100e0f8", "CRC32": "2040c21a", "AES": "2048284e", "SHA": "2008285e", "PAC": "2004c1da",
        "RCPC": "20c0bff8", "dot product": "2094826e", "half precision": "2014c20e", "SVE": "2000e004",
        "complex": "20c4422e",
    },
}  # fmt: skip
WITHIN = {
    # push, SSE2, locked exchange, endbr64, pause, long nop, cpuid, conditional move
    "x86_64": "55 660ffec1 f0480fb10e f30f1efa f390 0f1f440000 0fa2 480f44c1",
    # add, NEON, exclusive load, hints: paciasp, bti c; conversion from half precision
    "aarch64": "2000028b 2084a24e 20fc5fc8 3f2303d5 5f2403d5 2040e21e",
}


def scan(machine: str, code: str):
    return harmful(beyond_baseline(machine, Code(".text", 0x1000, bytes.fromhex(code))))


@pytest.mark.parametrize(
    ("machine", "name"), [(machine, name) for machine, codes in BEYOND.items() for name in codes]
)
def test_an_instruction_of_an_extension_is_found(machine, name):
    (found,) = scan(machine, BEYOND[machine][name])
    assert (found.section, found.address) == (".text", 0x1000)


@pytest.mark.parametrize("machine", WITHIN)
def test_an_instruction_of_the_baseline_is_not(machine):
    assert scan(machine, WITHIN[machine]) == []


def test_bytes_that_are_no_instruction_are_found():
    assert [found.extension for found in scan("x86_64", "06")] == ["unknown to the disassembler"]


def test_benign_instructions_are_believed_up_to_a_number():
    rep_bsf = "f3480fbcc0"
    assert scan("x86_64", rep_bsf * BENIGN["tzcnt "]) == []
    assert len(scan("x86_64", rep_bsf * (BENIGN["tzcnt "] + 1))) == BENIGN["tzcnt "] + 1
