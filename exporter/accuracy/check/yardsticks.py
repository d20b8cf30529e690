"""The float64 reference beside PyTorch's own errors at other precisions, the yardsticks of budgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from attnexport.accuracy.check.budget_file import BudgetFile
from attnexport.accuracy.check.results import DataKind
from attnexport.accuracy.contenders.cache import digest_of
from attnexport.accuracy.contenders.contenders import Outputs
from attnexport.accuracy.contenders.torch_runs import REFERENCE, TorchRuns
from attnexport.accuracy.errors.tallies import YardstickTally
from attnexport.accuracy.inputs.files import DATA, Batch
from attnexport.accuracy.inputs.generated import is_extreme, title_of
from attnexport.errors import BackendError, InputError
from attnexport.files.shapes import shapes_text
from attnexport.messages import named

DRAWS = 8
"""Runs with random rounding when an output is looked at again."""


@dataclass(frozen=True)
class TorchOutputs:
    """What PyTorch gives for one batch.

    Attributes:
        batch: the inputs.
        digest: of the inputs.
        shapes: of the inputs, for messages.
        exact: outputs in float64.
        plain: outputs at the precisions that were measured so far.
    """

    batch: Batch
    digest: str
    shapes: str
    exact: Outputs
    plain: dict[str, Outputs] = field(default_factory=dict)


@dataclass
class _Kind:
    """What ran of one kind of inputs."""

    batches: int = 0
    shapes: dict[str, None] = field(default_factory=dict)
    left_out: str = ""


class Yardsticks:
    """Runs the model on batches and gathers its own errors.

    PyTorch need not run on every batch at a contender's precision: its largest error only grows with more of them, so
    what is within twice the error of some batches is within twice that of all.

    Args:
        runs: the model in PyTorch.
        precisions: to gather errors at.
        budget: overrides. Default: None.

    Attributes:
        tallies: errors by precision, and by kind of inputs and output.
    """

    def __init__(self, runs: TorchRuns, precisions: Sequence[str], budget: BudgetFile | None = None) -> None:
        self._runs, self._budget = runs, budget or BudgetFile()
        self._names = runs.model.output_names
        self._inputs = runs.model.input_names
        self._kinds: dict[str, _Kind] = {}
        self._measured: set[tuple[str, str, str]] = set()
        self.tallies: dict[str, dict[tuple[str, str], YardstickTally]] = {name: {} for name in precisions}

    def take(self, batch: Batch) -> TorchOutputs | None:
        """Runs one batch in float64; None when it is left out, because the model does not take such inputs.

        Raises:
            InputError: the same for data that the user gave.
        """
        kind = self._kinds.setdefault(batch.kind, _Kind())
        try:
            outputs = self._exact(batch)
        except (BackendError, InputError) as error:
            if batch.kind == DATA:
                raise InputError(f"{batch.source}: {error}{batch.empty and f'; {batch.empty}'}") from error
            kind.left_out = str(error)
            return None
        for precision in self.tallies:
            for name in self._names:
                self._tally(precision, batch.kind, name).add_reference(outputs.exact[name])
        kind.batches += 1
        kind.shapes[outputs.shapes] = None
        return outputs

    def _exact(self, batch: Batch) -> TorchOutputs:
        digest = digest_of(batch.tensors)
        exact = self._outputs(batch, REFERENCE, digest)
        _check_finite(exact)
        shapes = shapes_text(zip(self._inputs, (tensor.shape for tensor in batch.tensors), strict=True))
        return TorchOutputs(batch, digest, shapes, exact)

    def measure(self, outputs: TorchOutputs, precision: str) -> None:
        """Runs PyTorch at a precision on one batch, unless it did, and adds its errors.

        Raises:
            BackendError: PyTorch runs the model in float64 and not at this precision.
        """
        if precision in outputs.plain:
            return
        self._measured.add((precision, outputs.batch.kind, outputs.batch.source))
        try:
            plain = outputs.plain[precision] = self._outputs(outputs.batch, precision, outputs.digest)
        except BackendError as error:
            raise BackendError(f"{error}; choose another precision to hold contenders to") from error
        for name in self._names:
            self._tally(precision, outputs.batch.kind, name).add(plain[name], outputs.exact[name])

    def has_measured(self, kind: str, precision: str) -> bool:
        """Whether PyTorch ran on some batch of this kind at this precision."""
        return any(measured[:2] == (precision, kind) for measured in self._measured)

    def measure_rest(self, batches: Iterable[Batch], wanted: Mapping[str, set[str]]) -> None:
        """Runs PyTorch on all other batches of some kinds, by precision."""
        if not any(wanted.values()):
            return
        for batch in batches:
            rest = [
                precision
                for precision, kinds in wanted.items()
                if batch.kind in kinds and (precision, batch.kind, batch.source) not in self._measured
            ]
            if rest:
                outputs = self._exact(batch)
                for precision in rest:
                    self.measure(outputs, precision)

    def look_again(self, outputs: TorchOutputs, precision: str, draws: int = DRAWS) -> None:
        """Adds what random rounding does to the float64 results of one batch."""
        drawn = [self._runs.rounded(outputs.batch.tensors, precision, seed) for seed in range(draws)]
        for position, name in enumerate(self._names):
            tally = self._tally(precision, outputs.batch.kind, name)
            tally.add_rounded([values[position] for values in drawn], outputs.exact[name])

    def kinds(self, left_out: Mapping[str, str]) -> tuple[DataKind, ...]:
        """The kinds of inputs that ran or were left out; ``left_out`` says why the model has no inputs of some.

        Raises:
            InputError: nothing ran.
        """
        found = [
            DataKind(name, title_of(name), kind.batches, tuple(kind.shapes), kind.left_out)
            for name, kind in self._kinds.items()
        ]
        found += [DataKind(name, title_of(name), 0, (), why) for name, why in left_out.items()]
        if not any(kind.batches for kind in found):
            reasons = "; ".join(f"{kind.name}: {kind.left_out}" for kind in found)
            raise InputError(f"no inputs to compare on{': ' if reasons else ''}{reasons}")
        return tuple(found)

    def _tally(self, precision: str, kind: str, output: str) -> YardstickTally:
        tallies = self.tallies[precision]
        if (kind, output) not in tallies:
            floor = self._runs.floors(precision)[output]
            trusted = torch.finfo(self._runs.dtype_of(precision)).eps ** 0.5 if is_extreme(kind) else None
            tallies[kind, output] = YardstickTally(floor, self._budget.outputs.get(output), trusted)
        return tallies[kind, output]

    def _outputs(self, batch: Batch, precision: str, digest: str) -> Outputs:
        return dict(zip(self._names, self._runs.run(batch.tensors, precision, digest), strict=True))


def _check_finite(exact: Outputs) -> None:
    for name, values in exact.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise InputError(f"{named('output', name)}: the float64 reference is not finite")
