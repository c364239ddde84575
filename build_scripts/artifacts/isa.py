"""Instruction sets: does machine code run on every processor of the architecture?

auditwheel does not tell: on x86-64 it reads a note of the linker, which few compilers write. So the code is
disassembled, with capstone, and every mnemonic is looked up among those of later extensions. Instructions
unknown to the disassembler count as beyond the baseline too.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from capstone import CS_ARCH_ARM64, CS_ARCH_X86, CS_MODE_64, CS_MODE_ARM, Cs

from .elf import Code

BASELINE = {"x86_64": "x86-64-v1", "aarch64": "ARMv8.0-A"}

DISASSEMBLERS = {"x86_64": (CS_ARCH_X86, CS_MODE_64), "aarch64": (CS_ARCH_ARM64, CS_MODE_ARM)}

# Extensions by the mnemonics that they added: psABI's x86-64-v2 to v4 and what Intel and AMD list beside
# them; the optional and the later parts of the ARMv8-A architecture.
MNEMONICS = {
    "x86_64": {
        "SSE3": r"addsub[ps]d|addsubps|h(add|sub)p[ds]|lddqu|mov(ddup|shdup|sldup)|fisttp|monitor|mwait",
        "SSSE3": r"pabs[bwd]|palignr|ph(add|sub)(s?w|d)|pmaddubsw|pmulhrsw|pshufb|psign[bwd]",
        "SSE4.1": r"blendv?p[ds]|dpp[ds]|extractps|insertps|movntdqa|mpsadbw|packusdw|pblend(vb|w)|pcmpeqq"
        r"|pextr[bdq]|phminposuw|pinsr[bdq]|pm(ax|in)(s[bd]|u[dw])|pmov[sz]x\w+|pmuldq|pmulld|ptest"
        r"|round[ps][ds]",
        "SSE4.2": r"crc32|pcmp[ei]str[im]|pcmpgtq",
        "SSE4a": r"extrq|insertq|movnts[ds]",
        "POPCNT": r"popcnt",
        "CX16": r"(lock )?cmpxchg16b",
        "LAHF-SAHF": r"lahf|sahf",
        "LZCNT": r"lzcnt",
        "BMI1": r"andn|bextr|bls(i|msk|r)|tzcnt",
        "BMI2": r"bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx",
        "ADX": r"adcx|adox",
        "TBM": r"blc(fill|i|ic|msk|s)|bls(fill|ic)|t1mskc|tzmsk",
        "MOVBE": r"movbe",
        "XSAVE": r"xsave\w*|xrstor\w*|xgetbv|xsetbv",
        "AVX, FMA or AVX-512": r"v(?!err$|erw$)\w+",
        "AVX-512 masks": r"k(add|and|andn|mov|not|or|ortest|shift[lr]|test|unpck|xnor|xor)[bdqw]+",
        "AES, PCLMUL or GFNI": r"aes\w+|pclmul\w*|gf2p8\w+",
        "SHA": r"sha(1|256)\w+",
        "RDRAND, RDSEED": r"rdrand|rdseed",
        "a later extension": r"clflushopt|clwb|cldemote|in[cs]ssp[dq]|(rd|wr)[fg]sbase|rdpid|(rd|wr)pkru"
        r"|movdir\w+|enqcmds?|serialize|ptwrite|tpause|umwait|umonitor|xbegin|xend|xabort|xtest"
        r"|(ld|st)tilecfg|tile\w+|tdp\w+|prefetchw\w*|prefetchit\d|femms|pf[a-z]+|pi2f[dw]|pswapd",
    },
    "aarch64": {
        "LSE atomics": r"(cas|swp)(a|l|al)?[bh]?|caspa?l?"
        r"|(ld|st)(add|clr|eor|set|[su]max|[su]min)(a|l|al)?[bh]?",
        "LOR, RDMA": r"ldlar[bh]?|stllr[bh]?|sqrdml[as]h",
        "CRC32": r"crc32\w+",
        "SHA, AES, SM3, SM4": r"sha\d\w+|aes\w+|sm[34]\w+|eor3|bcax|rax1|xar",
        # Its other instructions (paciasp, autia1716, ...) are hints, which older processors skip.
        "pointer authentication": r"(aut|pac)[id]z?[ab]|pacga|xpac[di]|bl?ra[ab]z?|e?reta[ab]|ldra[ab]",
        "RCPC": r"ldapu?r[bh]?|ldapurs\w+|stlur[bh]?",
        "complex numbers, JavaScript conversion": r"fcadd|fcmla|fjcvtzs",
        "dot product, matrices, bfloat16": r"[su]dot|usdot|sudot|[su]mmla|usmmla|bfml?\w+|bfdot|bfcvtn?2?"
        r"|fml[as]l2?",
        "flags, speculation, rounding": r"cfinv|rmif|setf(8|16)|axflag|xaflag|sb|frint(32|64)[xz]",
        "memory tagging": r"irg|gmi|addg|subg|subps?|st2?g|stz2?g|stgp|ldgm?|stz?gm",
        "memory copy, 64-byte access, wait": r"cpy[efmp]\w+|set[egmp]\w*|ld64b|st64bv?0?|wf[ei]t",
        "SVE, SME": r"cnt[bdhw]|[su]?q?(dec|inc)[bdhwp]|add[vp]l|addsvl|addspl|rdvl|rdsvl|smst(art|op)"
        r"|ptrues?|pfalse|while\w+|setffr|rdffr|wrffr",
        "unknown to the disassembler": r"\.byte",
    },
}
MNEMONICS["x86_64"]["unknown to the disassembler"] = r"\.byte"

# Extensions that gave more meanings to mnemonics of the baseline: told by the operands.
OPERANDS = {
    "aarch64": {
        "AES": r"pmull2? .*\.1q",
        "half precision": r"f(?!cvt |cvtl|cvtn|cvtx|mov v)\w+ .*(\bh\d|\.[48]h)",
        "SVE, SME": r"\w+ .*(\bz\d+\b|\bp\d+[/.]|\bza\b|\bsvcr)",
    }
}

# Instructions of later extensions that do no harm, as the beginnings of their text, with the largest number
# in a file that is believed. Code compiled for an extension has hundreds, and others along with them.
BENIGN = {
    # This is REP BSF, which processors without BMI1 run as BSF. The result is equal unless the operand is 0,
    # and compilers for the baseline emit it only where it is not.
    "tzcnt ": 40,
    # libstdc++'s std::random_device, behind a check of CPUID.
    "rdrand ": 4,
    "rdseed ": 4,
    # LLVM's libunwind: the length of vectors, asked for if a stack frame says that it saved some; memory
    # tags, written if a frame says that it has them. Only code for such processors makes such frames.
    "cntd x": 10,
    "stg x": 2,
    # LLVM's compiler-rt: saves the matrix and leaves SME's mode, if the processor is in that mode. The bytes
    # are ADDSPL.
    "str za[": 2,
    ".byte 0x30, 0x58, 0x30, 0x04": 2,
    "smstop za": 2,
}


@dataclass(frozen=True)
class Instruction:
    """An instruction that not every processor of the architecture has."""

    section: str
    address: int
    text: str
    """As disassembled: mnemonic and operands."""
    extension: str

    def __str__(self) -> str:
        return f"{self.text} at {self.section} {self.address:#x}"


def beyond_baseline(machine: str, code: Code) -> list[Instruction]:
    """Return the instructions of one section that are beyond `BASELINE[machine]`, in their order."""
    extension_of = _classifier(machine)
    return [
        Instruction(code.section, address, text, extension)
        for address, text in disassemble(machine, code)
        if (extension := extension_of(text))
    ]


def harmful(instructions: Iterable[Instruction]) -> list[Instruction]:
    """Leave out the instructions that are `BENIGN`, unless there are more of a kind than is believed."""
    instructions = list(instructions)
    kinds = [_benign(instruction.text) for instruction in instructions]
    numbers = Counter(kinds)
    return [
        instruction
        for instruction, kind in zip(instructions, kinds, strict=True)
        if kind is None or numbers[kind] > BENIGN[kind]
    ]


def disassemble(machine: str, code: Code) -> Iterator[tuple[int, str]]:
    """Yield the address and the text of each instruction; `.byte ...` for what is none."""
    disassembler = Cs(*DISASSEMBLERS[machine])
    disassembler.skipdata = True
    for address, _, mnemonic, operands in disassembler.disasm_lite(code.data, code.address):
        yield address, f"{mnemonic} {operands}"


def _classifier(machine: str) -> Callable[[str], str | None]:
    """Return a function from the text of an instruction to its extension, None for the baseline."""
    by_mnemonic = [(name, re.compile(rf"({pattern}) ")) for name, pattern in MNEMONICS[machine].items()]
    by_operands = [(name, re.compile(pattern)) for name, pattern in OPERANDS.get(machine, {}).items()]

    @cache
    def of_mnemonic(mnemonic: str) -> str | None:
        return next((name for name, pattern in by_mnemonic if pattern.fullmatch(mnemonic)), None)

    def extension_of(text: str) -> str | None:
        prefix = "lock " if text.startswith("lock ") else ""
        mnemonic = prefix + text.removeprefix(prefix).partition(" ")[0] + " "
        return of_mnemonic(mnemonic) or next(
            (name for name, pattern in by_operands if pattern.match(text)), None
        )

    return extension_of


def _benign(text: str) -> str | None:
    return next((beginning for beginning in BENIGN if text.startswith(beginning)), None)
