"""Names of precisions, and the one rule that says which of them a model or a file has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from attnexport.errors import InputError, did_you_mean
from attnexport.files.dtype_names import precision_called

PRECISION_NAMES = ("fp64", "fp32", "fp16", "bf16")
"""From the finest to the coarsest."""


def named_precision(argument: str, written: object, names: Sequence[str] = PRECISION_NAMES) -> str:
    """The precision that is meant: fp16 for half, float16 or torch.float16.

    Args:
        argument: what messages call it, as ``option("--precision")``.
        written: by the user.
        names: of PRECISION_NAMES, those that may be meant. Default: all.

    Raises:
        InputError: another name.
    """
    name = precision_called(written)
    if name is None or name not in names:
        said = f"{argument}: expected one of {', '.join(names)}, given {written!r}"
        raise InputError(f"{said}{did_you_mean(str(written), names)}")
    return name


@dataclass(frozen=True)
class HeldPrecision:
    """The precision that a model or a file holds.

    Attributes:
        name: of PRECISION_NAMES.
        source: what in it says so, in words.
    """

    name: str
    source: str


def held_precision(attention: Iterable[str], weights: Counter[str], inputs: Counter[str]) -> HeldPrecision:
    """The coarser of what attention computes in and what most numbers of the weights are in.

    The coarsest rounding makes most of an error, however few numbers it touches: half attention before a larger float32
    head errs as half does, and so does float32 attention between half weights. A cast to half anywhere else says
    nothing: it is a fault, which must not widen the budget that it is judged by. Without attention and weights most
    inputs decide; without floating inputs it is fp32.

    Args:
        attention: what attention nodes compute in.
        weights: how many numbers of parameters, buffers and constants there are by precision.
        inputs: how many inputs there are by precision.
    """
    sources = dict.fromkeys(attention, "attention nodes")
    sources.update((name, "most weights") for name, _ in weights.most_common(1))
    if not sources:
        sources = {name: "most inputs" for name, _ in inputs.most_common(1)} or {"fp32": "no floating weights"}
    coarsest = max(sources, key=PRECISION_NAMES.index)
    return HeldPrecision(coarsest, sources[coarsest])


def counted(numbers: Iterable[tuple[str | None, int]]) -> Counter[str]:
    """How many numbers there are by precision, of those that have one."""
    counts: Counter[str] = Counter()
    for name, count in numbers:
        if name is not None:
            counts[name] += count
    return counts
