"""Reads what ptxas -v printed and finds the kernels that spill registers to local memory, or lose Hopper's overlap.

    NVCC_APPEND_FLAGS=-Xptxas=-v attnexport plugins build --arch 90 -o build/plugins
    python plugins/tests/spills.py build/plugins/build.log

Prints the kernels that spill, and exits with 1 where one spills more than the limit, where a kernel of Hopper's own
instructions spills at all, or where ptxas says that it runs such a kernel's products one by one.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

# ptxas says how many bytes spill, not where. In the machine code of the kernels here two dozen registers are values
# that live across the main loop, or that an iteration of thousands of instructions touches once: less than a
# hundredth of its work. A loop whose fragments do not fit spills hundreds of bytes.
LIMIT = 96

_ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\d+)(a?)'")
# Registers are not shared out between warpgroups; products wait for one another.
_LOST_OVERLAP = re.compile(r"\(C75(?:08|10|15|20)\)")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_REGISTERS = re.compile(r"Used (\d+) registers")


@dataclass(frozen=True)
class Kernel:
    """A kernel as ptxas compiled it.

    Attributes:
        name: demangled, without its arguments.
        architecture: as 87.
        is_hopper: whether it is of Hopper's own instructions.
        registers: of a thread.
        stores, loads: bytes of a thread that go to local memory and come back.
    """

    name: str
    architecture: int
    is_hopper: bool = False
    registers: int = 0
    stores: int = 0
    loads: int = 0

    @property
    def spilled(self) -> int:
        """Bytes, counting whichever way is more."""
        return max(self.stores, self.loads)

    def exceeds(self, limit: int = LIMIT) -> bool:
        """Whether more spills than may."""
        return self.spilled > (0 if self.is_hopper else limit)


def read_kernels(lines: Iterable[str]) -> list[Kernel]:
    """The kernels of a compiler's log, in its order."""
    kernels = list(_parse(lines))
    names = _demangled([kernel.name for kernel in kernels])
    return [replace(kernel, name=name) for kernel, name in zip(kernels, names, strict=True)]


def lost_overlaps(lines: Iterable[str]) -> list[str]:
    """What ptxas says of products or registers that it could not treat as the kernel asks."""
    return [line.strip() for line in lines if _LOST_OVERLAP.search(line)]


def table(kernels: Sequence[Kernel], limit: int = LIMIT) -> str:
    """The kernels that spill, most first, and how many of each architecture there are."""
    spilling = sorted((kernel for kernel in kernels if kernel.spilled), key=lambda kernel: -kernel.spilled)
    lines = [f"{'sm':>4} {'registers':>9} {'stores':>6} {'loads':>6}  kernel"]
    for kernel in spilling:
        mark = "  over the limit" if kernel.exceeds(limit) else ""
        numbers = f"{kernel.architecture:4} {kernel.registers:9} {kernel.stores:6} {kernel.loads:6}"
        lines.append(f"{numbers}  {kernel.name}{mark}")
    counts = Counter(kernel.architecture for kernel in kernels)
    lines += [f"sm_{architecture}: {count} kernels" for architecture, count in sorted(counts.items())]
    too_many = sum(kernel.exceeds(limit) for kernel in kernels)
    lines.append(f"{len(spilling)} spill, {too_many} of them over {limit} bytes, or at all for Hopper")
    return "\n".join(lines)


def _parse(lines: Iterable[str]) -> Iterator[Kernel]:
    kernel: Kernel | None = None
    for line in lines:
        if entry := _ENTRY.search(line):
            kernel = Kernel(entry.group(1), int(entry.group(2)), entry.group(3) == "a")
        elif kernel is not None and (stack := _STACK.search(line)):
            kernel = replace(kernel, stores=int(stack.group(2)), loads=int(stack.group(3)))
        elif kernel is not None and (used := _REGISTERS.search(line)):
            yield replace(kernel, registers=int(used.group(1)))
            kernel = None


def _demangled(names: Sequence[str]) -> list[str]:
    if not names or shutil.which("c++filt") is None:
        return list(names)
    done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return [_without_noise(name) for name in done.stdout.splitlines()]


def _without_noise(name: str) -> str:
    for noise in (r"\(anonymous namespace\)::", r"_GLOBAL__N__\w+::", r"attnexport::", r"^void "):
        name = re.sub(noise, "", name)
    return re.sub(r"\([^()]*(\([^()]*\)[^()]*)*\)$", "", name)


def main() -> int:
    """Runs the script; the exit code."""
    parser = argparse.ArgumentParser(description="Kernels that spill registers, in logs of nvcc with -Xptxas=-v.")
    parser.add_argument("logs", nargs="+", type=Path, help="what the compilers printed")
    parser.add_argument("--limit", type=int, default=LIMIT, help=f"bytes of a thread. Default: {LIMIT}")
    given = parser.parse_args()
    lines = [line for log in given.logs for line in log.read_text().splitlines()]
    kernels, lost = read_kernels(lines), lost_overlaps(lines)
    if not kernels:
        print(f"expected the output of ptxas -v in {', '.join(map(str, given.logs))}, found none", file=sys.stderr)
        return 2
    print(table(kernels, given.limit))
    print("\n".join(lost))
    return int(bool(lost) or any(kernel.exceeds(given.limit) for kernel in kernels))


if __name__ == "__main__":
    sys.exit(main())
