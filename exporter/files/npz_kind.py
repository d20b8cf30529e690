"""Whether a file is an .npz, by its first bytes."""

from __future__ import annotations

from pathlib import Path

from attnexport.errors import InputError

ARRAY = b"\x93NUMPY"
"""What a single array of NumPy, an .npy, begins with."""

# An archive with entries, and one without.
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")


def check_is_npz(file: Path) -> None:
    """Refuses what is no .npz.

    Raises:
        InputError: no file there, one that cannot be read, or one of another kind.
    """
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    try:
        with open(file, "rb") as stream:
            start = stream.read(len(ARRAY))
    except OSError as error:
        raise InputError(f"{file}: expected an .npz archive of plain arrays: {error.strerror or error}") from error
    if not start.startswith(_ZIP):
        given = "a single array without a name" if start == ARRAY else "a file of another kind"
        raise InputError(f"{file}: expected an .npz archive of plain arrays: given {given}")
