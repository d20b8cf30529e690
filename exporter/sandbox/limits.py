"""How much memory and processor time a child may use."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_SHARE_OF_MEMORY = 0.75
_SECONDS_A_PROCESSOR = 3600
_GRACE_S = 5
_COUNTED = re.compile(r"^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True)
class Limits:
    """What is too much.

    Attributes:
        memory: bytes that are not those of files, of all threads.
        seconds: processor time of all threads.
    """

    memory: int
    seconds: int

    def take_effect(self) -> None:
        """Limits this process's processor time, and has it leave no core file; its memory is for the parent to watch.

        A limit of the address space would not do: torch and CUDA reserve many times what they use.
        """
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        end = self.seconds + _GRACE_S
        hard = end if most == resource.RLIM_INFINITY else min(end, most)
        resource.setrlimit(resource.RLIMIT_CPU, (min(self.seconds, hard), hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def usual_limits() -> Limits:
    """Three quarters of the machine's or container's memory, and an hour of each processor."""
    return Limits(int(min(_memories()) * _SHARE_OF_MEMORY), _SECONDS_A_PROCESSOR * (os.cpu_count() or 1))


def memory_of(process: int) -> int:
    """Bytes that a process holds, in memory or swapped out, without those of files; 0 for one that has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return sum(int(kilobytes) << 10 for kilobytes in _COUNTED.findall(status))


def _memories() -> Iterator[int]:
    yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            yield int((Path("/sys/fs/cgroup") / name).read_text())
