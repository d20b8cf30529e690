"""Linux capabilities: what makes root more than a user, apart from reading and writing files."""

from __future__ import annotations

import ctypes
import platform
import struct

from attnexport.sandbox.kernel import system_call

_VERSION = 0x20080522
_CALLS = {"x86_64": (125, 126), "aarch64": (90, 91)}
_FILES = 0b1110
"""CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER."""


def drop_capabilities() -> None:
    """Keeps those over files, which Landlock restricts, and no other.

    Raises:
        OSError: the kernel refuses.
    """
    get, put = _CALLS[platform.machine()]
    header = ctypes.create_string_buffer(struct.pack("=Ii", _VERSION, 0), 8)
    held = ctypes.create_string_buffer(24)
    system_call(get, header, held)
    permitted = struct.unpack("=6I", held.raw)[1] & _FILES
    kept = struct.pack("=6I", permitted, permitted, 0, 0, 0, 0)
    system_call(put, header, ctypes.create_string_buffer(kept, len(kept)))
