"""Arguments of check, held together before there is a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attnexport.accuracy.check.budget_file import written_budget
from attnexport.accuracy.contenders.texts import RECORDED, ContenderText
from attnexport.accuracy.errors.metric_names import split_metric
from attnexport.accuracy.inputs.options import InputOptions
from attnexport.engines.shape_texts import parse_shapes
from attnexport.errors import InputError
from attnexport.messages import option
from attnexport.targets import find_target


def refuse_unfit_options(
    contenders: Sequence[ContenderText],
    inputs: InputOptions,
    *,
    plugins: Path | None,
    budget: Path | None,
    metrics: Sequence[str],
    max_drop: float | None,
    rebuild: int | None,
    target: str | None,
    shapes: Sequence[str],
) -> None:
    """Refuses arguments of :func:`attnexport.check` that cannot be used, or not together.

    Raises:
        InputError: naming the file or the option of the command line.
    """
    if max_drop is not None and not metrics:
        raise InputError(f"{option('--max-drop')}: expected beside {option('--metric')}, given without")
    if (rebuild is None) != (target is None):
        raise InputError(f"{option('--rebuild')}: expected together with {option('--target')}, given one of them")
    if shapes and rebuild is None:
        raise InputError(f"{option('--shapes')}: expected beside {option('--rebuild')}, given without")
    for name in metrics:
        split_metric(name)
    if target is not None:
        find_target(target)
    parse_shapes(shapes)
    inputs.check()
    for contender in contenders:
        if contender.kind == RECORDED and inputs.data is None:
            wanted = f"expected the inputs that they are of in {option('--data')}"
            raise InputError(f"{contender.text}: recorded outputs: {wanted}")
        contender.check()
    if plugins is not None and not plugins.is_file():
        raise InputError(f"{plugins}: no such file")
    if budget is not None:
        written_budget(budget)
