"""A seccomp filter: system calls that a program on its way out of the process would need, and honest ones do not."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Sequence

from attnexport.sandbox.kernel import prctl

_PR_SET_SECCOMP = 22
_MODE_FILTER = 2

_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000
_KILL = 0x80000000

_LOAD, _MASK, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE = 0, 4
_FIRST_ARGUMENT, _SECOND_ARGUMENT = 16, 24
_X32 = 0x40000000

_AF_UNIX, _SOCK_DGRAM, _SOCKET_TYPES = 1, 2, 0xF
_CLONE_THREAD = 0x00010000
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

# Numbers on x86_64 and on aarch64, None where a call is not there.
_NETWORK = {"connect": (42, 203), "socketpair": (53, 199)}
_PROGRAMS = {"fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281)}
_OTHER_PROCESSES = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
}
# Landlock does not know rights and owners of files.
_RIGHTS = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
}
# Doors into the kernel that have often been left open.
_KERNEL = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "open_by_handle_at": (304, 265),
}
_SOCKET = (41, 198)
_CLONE, _CLONE3 = (56, 220), (435, 435)
_KILL_ONE, _KILL_THREAD = (62, 129), (234, 131)
_IOCTL = (16, 29)


def is_known() -> bool:
    """Whether there is a filter for this machine's architecture."""
    return platform.machine() in _MACHINES


def refuse_system_calls(*, programs: bool) -> None:
    """Lets this thread, and threads that it starts, connect to nothing, start no program and touch no other process.

    Args:
        programs: whether programs may be started all the same.

    Raises:
        OSError: the kernel has no filters.
    """
    code = _filter(programs)
    instructions = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(instructions))
    prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.create_string_buffer(header, len(header)))


def _filter(programs: bool) -> bytes:
    column, architecture = _MACHINES[platform.machine()]
    refused = _NETWORK | _OTHER_PROCESSES | _RIGHTS | _KERNEL | ({} if programs else _PROGRAMS)
    steps = [_step(_LOAD, _ARCHITECTURE), _step(_IF_EQUAL, architecture, 1, 0), _step(_RETURN, _KILL)]
    steps += [_step(_LOAD, _NUMBER), *_when(_IF_AT_LEAST, _X32, [_refuse(errno.ENOSYS)])]
    for numbers in refused.values():
        number = numbers[column]
        if number is not None:
            steps += _when(_IF_EQUAL, number, [_refuse(errno.EPERM)])
    if not programs:
        # libc falls back to clone, whose flags can be read here.
        steps += _when(_IF_EQUAL, _CLONE3[column], [_refuse(errno.ENOSYS)])
        steps += _only(_CLONE[column], _FIRST_ARGUMENT, _IF_ANY_BIT, _CLONE_THREAD)
        for numbers in (_KILL_ONE, _KILL_THREAD):
            steps += _only(numbers[column], _FIRST_ARGUMENT, _IF_EQUAL, os.getpid())
    steps += _when(_IF_EQUAL, _SOCKET[column], _sockets_that_send_nothing())
    steps += _when(_IF_EQUAL, _IOCTL[column], _no_typing_into_the_terminal())
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def _only(number: int, argument: int, test: int, value: int) -> list[bytes]:
    """Allows a call for some values of an argument."""
    return _when(
        _IF_EQUAL,
        number,
        [_step(_LOAD, argument), *_when(test, value, [_step(_RETURN, _ALLOW)]), _refuse(errno.EPERM)],
    )


def _sockets_that_send_nothing() -> list[bytes]:
    """Those of UNIX that need a connection: CUDA listens on one."""
    return [
        _step(_LOAD, _SECOND_ARGUMENT),
        _step(_MASK, _SOCKET_TYPES),
        *_when(_IF_EQUAL, _SOCK_DGRAM, [_refuse(errno.EPERM)]),
        _step(_LOAD, _FIRST_ARGUMENT),
        *_when(_IF_EQUAL, _AF_UNIX, [_step(_RETURN, _ALLOW)]),
        _refuse(errno.EPERM),
    ]


def _no_typing_into_the_terminal() -> list[bytes]:
    return [
        _step(_LOAD, _SECOND_ARGUMENT),
        *_when(_IF_EQUAL, _TIOCSTI, [_refuse(errno.EPERM)]),
        *_when(_IF_EQUAL, _TIOCLINUX, [_refuse(errno.EPERM)]),
        _step(_RETURN, _ALLOW),
    ]


def _when(test: int, value: int, then: Sequence[bytes]) -> list[bytes]:
    return [_step(test, value, 0, len(then)), *then]


def _refuse(code: int) -> bytes:
    return _step(_RETURN, _REFUSE | code)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
