"""What a process gives up before it reads a stranger's program."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from attnexport.sandbox import landlock, seccomp
from attnexport.sandbox.capabilities import drop_capabilities
from attnexport.sandbox.kernel import die_with_parent, gain_no_privileges
from attnexport.sandbox.limits import Limits
from attnexport.sandbox.places import Places

_log = logging.getLogger(__name__)


def give_up(places: Places, limits: Limits, parent: int, *, programs: bool) -> None:
    """Leaves this process no more than a model needs, as far as the kernel can: asked, not assumed.

    Args:
        places: what it may still read and write.
        limits: what it may use.
        parent: its number; the process ends with it.
        programs: whether it may start others.
    """
    die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    limits.take_effect()
    for missing in (*_without_files(places, programs), *_without_calls(programs)):
        _log.warning("a stranger's program runs without %s", missing)


def _without_files(places: Places, programs: bool) -> Sequence[str]:
    known = landlock.version()
    if known < landlock.OLDEST:
        return [f"Landlock (version {known} here, {landlock.OLDEST} needed): it sees and may change every file"]
    try:
        gain_no_privileges()
        landlock.restrict(places.allowed(programs=programs), known)
    except OSError as error:
        return [f"Landlock ({error.strerror}): it sees and may change every file"]
    return []


def _without_calls(programs: bool) -> Sequence[str]:
    if not seccomp.is_known():
        return ["a filter of system calls, which this architecture has none for: it may start programs"]
    try:
        gain_no_privileges()
        drop_capabilities()
        seccomp.refuse_system_calls(programs=programs)
    except OSError as error:
        return [f"a filter of system calls ({error.strerror}): it may start programs and open sockets"]
    return []
