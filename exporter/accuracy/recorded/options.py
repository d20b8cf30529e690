"""Arguments of record, checked before there is a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attnexport.errors import InputError
from attnexport.files.kinds import FOLDER
from attnexport.files.outputs import check_output
from attnexport.messages import option
from attnexport.models.precision_names import named_precision


def refuse_unfit_options(folder: Path, precisions: Sequence[str]) -> None:
    """Refuses arguments of :func:`record` that cannot be used, which takes no model.

    Raises:
        InputError: naming the option of the command line.
    """
    if folder.exists():
        raise InputError(f"{folder}: expected a new folder, given one that exists")
    check_output(folder, FOLDER)
    named_precisions(precisions)


def named_precisions(written: Sequence[str]) -> tuple[str, ...]:
    """The precisions that are meant, each once: fp32 and fp16 for float and half.

    Raises:
        InputError: another name.
    """
    return tuple(dict.fromkeys(named_precision(option("--precisions"), name) for name in written))
