"""What is wrong with a contender, each in one line: what, where, by how much, and what to try."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from attnexport.accuracy.check.budget import ORDINARY_L2, ROUNDING_L2, Budget, beyond
from attnexport.accuracy.contenders.facts import ContenderFacts, Failure
from attnexport.accuracy.errors.measures import KindErrors, OutputErrors
from attnexport.accuracy.errors.scores import Metric
from attnexport.accuracy.inputs.files import DATA, Batch
from attnexport.engines.names import ENGINE_SUFFIXES
from attnexport.errors import BackendError
from attnexport.messages import named, option


def output_failure(facts: ContenderFacts, output: OutputErrors) -> Failure | None:
    """What is wrong where the output is furthest outside its budget, and which other kinds of inputs are outside."""
    if output.passed:
        return None
    kind = max((kind for kind in output.kinds if not kind.passed), key=lambda kind: kind.share)
    others = ", ".join(other.kind for other in output.kinds if not other.passed and other is not kind)
    what, amount = _what(output, kind)
    return Failure(
        contender=facts.name,
        where=f"{named('output', output.name)}, {_place(kind)}",
        what=what,
        amount=f"{amount}; outside too: {others}" if others else amount,
        advice=_advice(facts, output, kind),
        output=output.name,
        kind=kind.kind,
    )


def unstable_notes(facts: ContenderFacts, output: OutputErrors) -> Iterator[str]:
    """Says where rounding alone moves a result so far that the budget is wider, says nothing, or does not count."""
    for kind in output.kinds:
        budget = kind.budget
        if budget is None:
            continue
        if not kind.judged and not kind.is_yardstick:
            yield (
                f"{named('output', output.name)}, {kind.kind} inputs: not judged by size: PyTorch at "
                f"{facts.precision} errs by {budget.torch_error:.3g} itself, values are up to "
                f"{kind.largest_reference:.3g}"
            )
            continue
        if budget.override is None and budget.unstable and not kind.is_yardstick:
            yield (
                f"{named('output', output.name)}, {kind.kind} inputs: the model is unstable there: random rounding to "
                f"{facts.precision} moves it by {budget.rounding_error:.3g} (relative L2 {budget.rounding_l2:.3g}), "
                f"PyTorch's by {budget.torch_error:.3g}; that excuses errors up to a relative L2 of {ROUNDING_L2:g}"
            )
        if budget.override is None and budget.largest_l2 is not None and budget.torch_l2 > ORDINARY_L2:
            yield (
                f"{named('output', output.name)}, {kind.kind} inputs: PyTorch at {facts.precision} errs by a relative "
                f"L2 of {budget.torch_l2:.3g} itself, which proves nothing: files may err by {ORDINARY_L2:g} there"
            )
        if budget.limit >= kind.largest_reference > 0 and not kind.is_yardstick:
            yield (
                f"{named('output', output.name)}, {kind.kind} inputs: within the budget says nothing there: errors of "
                f"{budget.limit:.3g} are allowed, values are up to {kind.largest_reference:.3g}"
            )


def run_failure(facts: ContenderFacts, batch: Batch, shapes: str, error: BackendError) -> Failure:
    """A batch, of inputs of these shapes, that the model takes and the contender does not."""
    advice = "convert or build again with these sizes in the declared range"
    return Failure(
        contender=facts.name,
        where=f"{batch.source} ({shapes})",
        what="does not run where the model does:",
        amount=str(error).removeprefix(f"{facts.path}: "),
        advice=advice if batch.kind == DATA else f"{advice}, or choose other inputs with {option('--kinds')}",
        kind=batch.kind,
    )


def metric_failure(facts: ContenderFacts, metric: Metric) -> Failure:
    """A metric that dropped too far."""
    return Failure(
        contender=facts.name,
        where=f"metric {metric.name}",
        what=f"{metric.contender:.6g}, {metric.reference:.6g} in the reference:",
        amount=f"worse by {metric.drop:.3g}, allowed {metric.max_drop:.3g}",
        advice=_closer_look(facts),
    )


def _place(kind: KindErrors) -> str:
    worst = kind.worst[0] if kind.worst else None
    where = "" if worst is None else f" at {worst.batch}[{', '.join(map(str, worst.index))}]"
    return f"{'data' if kind.kind == DATA else f'{kind.kind} inputs'}{where}"


def _what(output: OutputErrors, kind: KindErrors) -> tuple[str, str]:
    if kind.budget is None:
        allowed = f", {kind.allowed_mismatches} allowed" if kind.allowed_mismatches else ""
        return f"expected equal {output.dtype} values,", f"{kind.mismatches} of {kind.elements} differ{allowed}"
    if kind.not_finite:
        also = f", {kind.torch_not_finite} in PyTorch" if kind.torch_not_finite else ""
        return "values that are NaN or infinite:", f"{kind.not_finite} of {kind.elements}{also}"
    return beyond(kind.budget, kind.largest_error, kind.relative_l2)


def _advice(facts: ContenderFacts, output: OutputErrors, kind: KindErrors) -> str:
    closer = _closer_look(facts)
    if kind.budget is not None and _is_beyond_excuses(kind.budget, kind):
        entry = f"an entry for the output in a budget file ({option('--budget', 'FILE')}), with its reason"
        return f"another precision, or {entry}; {closer}"
    if kind.torch_not_finite:
        return f"another precision: PyTorch overflows in {facts.precision} too"
    if kind.not_finite and facts.precision == "fp16":
        return f"bf16, or fp32 for the layer that overflows; {closer}"
    if kind.budget is not None and kind.budget.override is not None:
        return f"{closer}; the budget file allows {kind.budget.override.allowance}"
    if any(other.passed for other in output.kinds):
        return f"{closer}; other kinds of inputs are within the budget"
    return closer


def _is_beyond_excuses(budget: Budget, kind: KindErrors) -> bool:
    """Whether the size alone of an error is within what is allowed there."""
    return not kind.not_finite and kind.largest_error <= budget.limit


def _closer_look(facts: ContenderFacts) -> str:
    """What finds the cause, for each sort of contender."""
    if facts.path is None:
        return "a precision with more digits"
    if Path(facts.path).suffix in ENGINE_SUFFIXES:
        return f"{option('--bisect', True)} with the ONNX file that it was built from"
    if facts.sha256 is None or facts.path.endswith(".npz"):
        return f"outputs in {facts.path} made again from these inputs"
    return f"{option('--bisect', True)}, which names the layer"
