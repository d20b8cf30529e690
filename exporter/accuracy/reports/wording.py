"""Numbers and sentences that the reports share."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from attnexport.display.amounts import percent, times
from attnexport.messages import count

if TYPE_CHECKING:
    from attnexport.accuracy.check.findings import LayerError
    from attnexport.accuracy.check.results import CheckReport, ContenderResult
    from attnexport.accuracy.errors.measures import KindErrors

_NAME = re.compile(r"((?:(?:ort|ort-cuda|engine|recorded):)?)(.*?)((?: without Q/DQ)?)", re.DOTALL)
"""What runs a contender, its path, and what it was made without."""


def number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits; from a thousand to a million the whole units too."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if 1e3 <= abs(value) < 1e6:
        return f"{value:,.{max(digits - 1 - int(math.log10(abs(value))), 0)}f}"
    return f"{value:.{digits}g}"


def share(value: float) -> str:
    """A share of the error budget: percent within, times outside."""
    if not math.isfinite(value):
        return number(value)
    return f"{times(value)} times" if value > 1 else percent(value)


def budgets(value: float) -> str:
    """A share of the error budget as columns have it: percent within, × outside with zeros that align it."""
    if not math.isfinite(value):
        return number(value)
    if value <= 1:
        return percent(value)
    if 1.005 <= value < 99.95:
        return f"{value:.{2 if value < 9.995 else 1}f} ×"
    return f"{times(value)} ×"


def scientific(value: float) -> str:
    """A number as wide as its neighbours in a column, as ``3.45e-07``."""
    return number(value) if not math.isfinite(value) else "0" if value == 0 else f"{value:.2e}"


def decimals_for(values: Iterable[float], digits: int = 9) -> int | None:
    """Decimal places that give the largest of some numbers so many digits; None where exponents are needed."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if largest == 0:
        return 0
    whole = math.floor(math.log10(largest)) + 1
    return max(digits - max(whole, 1), 0) if -3 < whole < digits else None


def fixed(value: float, decimals: int | None) -> str:
    """A number with so many decimal places, as :func:`decimals_for` gave them."""
    if not math.isfinite(value):
        return number(value)
    return f"{value:.8e}" if decimals is None else f"{value:.{decimals}f}"


def angle(cosine: float) -> str:
    """One minus a cosine, which is half the square of a small angle.

    A cosine of a good file is 0.99999999999 and more, and its digits say something after the last 9 alone; the
    difference from 1 has them first. Below 1e-14 it is the rounding of the sums that it comes from.
    """
    apart = 1.0 - cosine
    return f"{apart:.1e}" if apart >= 1e-14 else "< 1e-14"


def used(kind: KindErrors) -> str:
    """How much of its budget a kind of inputs uses, or why that is no number."""
    if kind.not_finite:
        return "not finite"
    if kind.is_yardstick:
        return "yardstick"
    return share(kind.share) if kind.judged else "not judged"


def seconds(value: float) -> str:
    """A duration."""
    if value < 1:
        return f"{value * 1e3:.3g} ms"
    return f"{value:.3g} s" if value < 100 else f"{int(value) // 60} min {int(value) % 60} s"


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Names of contenders without the folders that they do not need to be told apart, as ``ort-cuda:m.onnx``."""
    for kept in range(1, max((len(PurePath(name).parts) for name in names), default=0) + 1):
        found = {name: _last_parts(name, kept) for name in names}
        if len(set(found.values())) == len(found):
            return found
    return {name: name for name in names}


def _last_parts(name: str, kept: int) -> str:
    found = _NAME.fullmatch(name)
    assert found is not None
    return f"{found[1]}{'/'.join(PurePath(found[2]).parts[-kept:])}{found[3]}"


def layer_name(layer: LayerError) -> str:
    """Path of the module, which is empty for the model."""
    return layer.layer or "the model itself"


def around(layers: Sequence[LayerError], guilty: LayerError | None, longest: int) -> Sequence[LayerError]:
    """So many layers at most, with the guilty one in their middle, or the last where none is guilty."""
    centre = layers.index(guilty) if guilty in layers else len(layers)
    start = max(0, min(centre - longest // 2, len(layers) - longest))
    return layers[start : start + longest]


def headline(report: CheckReport) -> str:
    """What came out, in one sentence without a full stop."""
    judged = [contender for contender in report.contenders if contender.judged]
    reserved = sum(bool(contender.reservations) for contender in judged)
    but = f"; {reserved} with inputs on which errors were not judged or excused" if reserved else ""
    beside = yardsticks(report)
    if not judged:
        return f"nothing was judged: {beside}; another precision, an allowed drop of a metric or a budget file judge it"
    and_beside = f"; {beside}" if beside else ""
    if report.passed:
        return f"{count(len(judged), 'contender')} within the error budget{but}{and_beside}"
    failed = sum(not contender.passed for contender in judged)
    places = count(len(report.failures), "place")
    return f"{failed} of {count(len(judged), 'contender')} failed, in {places}{but}{and_beside}"


def yardsticks(report: CheckReport) -> str:
    """Which contenders are yardsticks, in a sentence without a full stop; empty where none is."""
    names = [contender.facts.name for contender in report.contenders if not contender.judged]
    if not names:
        return ""
    are = "is the yardstick of its precision" if len(names) == 1 else "are the yardsticks of their precisions"
    return f"{', '.join(names)} {are}"


def model_facts(report: CheckReport) -> dict[str, str]:
    """What was checked and with what."""
    model = report.model
    return {
        "model": model.name,
        "model SHA-256": model.sha256,
        "hash of graph and weights": model.source_hash,
        "model precision": model.precision,
        "attention": ", ".join(model.variants) or "none of attnexport's",
        **report.environment,
    }


def contender_facts(result: ContenderResult) -> dict[str, str]:
    """What a contender is."""
    facts = result.facts
    found = {"runtime": facts.runtime, "precision": f"{facts.precision}, {facts.precision_source}"}
    if facts.path is not None:
        found["file"] = facts.path
    if facts.sha256 is not None:
        found["SHA-256"] = facts.sha256
    return found
