"""System calls that Python has no function for."""

from __future__ import annotations

import ctypes
import os

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

_library = ctypes.CDLL(None, use_errno=True)


def system_call(number: int, *args: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """What the kernel answers.

    Args:
        number: of the call, on this architecture.
        args: whole numbers, buffers or null pointers.

    Raises:
        OSError: the kernel refuses.
    """
    given = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    answer: int = _library.syscall(ctypes.c_long(number), *given)
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer


def prctl(option: int, value: int | ctypes.Array[ctypes.c_char], buffer: ctypes.Array[ctypes.c_char] | int = 0) -> None:
    """Sets a property of this process.

    Raises:
        OSError: the kernel refuses.
    """
    given = [ctypes.c_ulong(arg) if isinstance(arg, int) else arg for arg in (value, buffer, 0, 0)]
    if _library.prctl(ctypes.c_int(option), *given) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def die_with_parent(signal: int) -> None:
    """Has this process get a signal when its parent ends."""
    prctl(_PR_SET_PDEATHSIG, signal)


def adopt_orphans() -> None:
    """Makes what the children of this process leave running children of its own."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def gain_no_privileges() -> None:
    """Lets no program that this process starts be more than it is; Landlock and seccomp ask for it."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
