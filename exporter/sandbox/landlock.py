"""Landlock, by which a process gives up every file and TCP port that it does not name. docs.kernel.org/userspace-api"""

from __future__ import annotations

import ctypes
import enum
import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from attnexport.sandbox.kernel import system_call

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1
_NO_TCP = 0b11
_NO_SIGNALS_AND_NO_ABSTRACT_SOCKETS = 0b11
_O_PATH = getattr(os, "O_PATH", 0)

OLDEST = 2
"""The version from which files can be moved between folders, which every output is (Linux 5.19)."""


class Access(enum.IntFlag):
    """What can be allowed below a folder; with the name's first version in the kernel, where that is not 1."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    """From version 2."""
    TRUNCATE = 1 << 14
    """From version 3."""
    IOCTL_DEV = 1 << 15
    """From version 5."""


READ = Access.READ_FILE | Access.READ_DIR
WRITE = (
    READ
    | Access.WRITE_FILE
    | Access.REMOVE_DIR
    | Access.REMOVE_FILE
    | Access.MAKE_DIR
    | Access.MAKE_REG
    | Access.REFER
    | Access.TRUNCATE
)
DEVICE = READ | Access.WRITE_FILE | Access.TRUNCATE | Access.IOCTL_DEV
_OF_FILES = Access.EXECUTE | Access.READ_FILE | Access.WRITE_FILE | Access.TRUNCATE | Access.IOCTL_DEV


def version() -> int:
    """Landlock's version in this kernel, 0 without it."""
    try:
        return system_call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except OSError:
        return 0


def restrict(allowed: Iterable[tuple[Path, Access]], known: int) -> None:
    """Leaves this thread, and what it starts, the paths given; where the kernel can, no TCP and no signals to others.

    Args:
        allowed: paths, and what may be done at or below them; those that do not exist are left out.
        known: the kernel's version, ``OLDEST`` or newer.

    Raises:
        OSError: the kernel refuses.
    """
    handled = _handled(known)
    rules = _ruleset(handled, known)
    try:
        for path, access in allowed:
            _allow(rules, access & handled, path)
        system_call(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _handled(known: int) -> Access:
    newest = Access.IOCTL_DEV if known >= 5 else Access.TRUNCATE if known >= 3 else Access.REFER
    return Access(2 * newest - 1)


def _ruleset(handled: Access, known: int) -> int:
    fields = [int(handled)]
    if known >= 4:
        fields.append(_NO_TCP)
    if known >= 6:
        fields.append(_NO_SIGNALS_AND_NO_ABSTRACT_SOCKETS)
    packed = struct.pack(f"={len(fields)}Q", *fields)
    return system_call(_CREATE_RULESET, ctypes.create_string_buffer(packed, len(packed)), len(packed), 0)


def _allow(rules: int, access: Access, path: Path) -> None:
    """Adds a path; one that cannot be named to Landlock stays out of reach."""
    with suppress(OSError):
        place = os.open(path, _O_PATH | os.O_CLOEXEC)
        try:
            granted = access if path.is_dir() else access & _OF_FILES
            packed = struct.pack("=Qi", int(granted), place)
            system_call(_ADD_RULE, rules, _PATH_BENEATH, ctypes.create_string_buffer(packed, len(packed)), 0)
        finally:
            os.close(place)
