"""Arguments of record, checked before there is a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attnexport.errors import InputError, did_you_mean
from attnexport.files.kinds import FOLDER
from attnexport.files.outputs import check_output
from attnexport.messages import option
from attnexport.models.precision_names import PRECISION_NAMES


def refuse_unfit_options(folder: Path, precisions: Sequence[str]) -> None:
    """Refuses arguments of :func:`record` that cannot be used, which takes no model.

    Raises:
        InputError: naming the option of the command line.
    """
    if folder.exists():
        raise InputError(f"{folder}: expected a new folder, given one that exists")
    check_output(folder, FOLDER)
    for name in precisions:
        if name not in PRECISION_NAMES:
            said = f"{option('--precisions')}: expected some of {', '.join(PRECISION_NAMES)}, given {name!r}"
            raise InputError(f"{said}{did_you_mean(name, PRECISION_NAMES)}")
