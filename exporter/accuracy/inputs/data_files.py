"""What --data names, before anything of it is read."""

from __future__ import annotations

import os
from pathlib import Path

from attnexport.errors import InputError
from attnexport.files.npz_kind import check_is_npz
from attnexport.messages import option


def data_files(path: str | os.PathLike[str], called: str | None = None) -> list[Path]:
    """The .npz files that a path names: itself, or a folder's in order.

    Args:
        path: the file or folder.
        called: what messages call it. Default: None, as option calls --data.

    Raises:
        InputError: nothing there, no .npz files in the folder, or a file of another kind.
    """
    given, called = Path(path), called or option("--data")
    if given.is_dir():
        files = sorted(given.glob("*.npz"))
        if not files:
            raise InputError(f"{called} {given}: expected .npz files in the folder, found none")
        return files
    if not given.is_file():
        raise InputError(f"{called} {given}: no such file or folder")
    check_is_npz(given)
    return [given]
