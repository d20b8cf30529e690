"""What --metric takes."""

from __future__ import annotations

from attnexport.errors import InputError, did_you_mean
from attnexport.messages import option

METRIC_NAMES = ("accuracy", "top5", "perplexity")
"""The built-in metrics."""


def split_metric(name: str) -> tuple[str, str] | None:
    """The module and the function of ``module:function``; None for a built-in metric.

    Raises:
        InputError: neither.
    """
    if name in METRIC_NAMES:
        return None
    module, colon, function = name.partition(":")
    if not colon or not module or not function:
        said = f"{option('--metric')}: expected {', '.join(METRIC_NAMES)} or module:function, given {name!r}"
        raise InputError(f"{said}{did_you_mean(name, METRIC_NAMES)}")
    return module, function
