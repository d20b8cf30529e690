"""The float64 reference beside PyTorch's own errors at other precisions, the yardsticks of budgets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from attnexport.accuracy.check.budget_file import BudgetFile
from attnexport.accuracy.check.results import DataKind
from attnexport.accuracy.contenders.cache import digest_of
from attnexport.accuracy.contenders.contenders import Outputs
from attnexport.accuracy.contenders.torch_runs import REFERENCE, TorchRuns
from attnexport.accuracy.errors.yardstick_tallies import RoundingTally, YardstickTally
from attnexport.accuracy.inputs.files import DATA, Batch
from attnexport.accuracy.inputs.kinds import is_extreme, title_of
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
        shapes: of the inputs, for messages.
        exact: outputs in float64.
        plain: outputs at the other precisions.
    """

    batch: Batch
    shapes: str
    exact: Outputs
    plain: Mapping[str, Outputs]


@dataclass
class _Kind:
    """What ran of one kind of inputs."""

    batches: int = 0
    shapes: dict[str, None] = field(default_factory=dict)
    left_out: str = ""


class Yardsticks:
    """Runs the model on batches and gathers its own errors, on every batch at every precision.

    What they say of a precision depends on model and inputs alone, and so does what a contender is held to, whichever
    others stand beside it.

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
        self._inputs_digest = hashlib.sha256()
        self.tallies: dict[str, dict[tuple[str, str], YardstickTally]] = {name: {} for name in precisions}

    def take(self, batch: Batch) -> TorchOutputs | None:
        """Runs one batch; None when it is left out, because the model does not take such inputs.

        Raises:
            InputError: the same for data that the user gave.
            BackendError: PyTorch runs the model in float64 and not at another precision.
        """
        kind, digest = self._kinds.setdefault(batch.kind, _Kind()), digest_of(batch.tensors)
        try:
            exact = self._exact(batch, digest)
        except (BackendError, InputError) as error:
            if batch.kind == DATA:
                raise InputError(f"{batch.source}: {error}{batch.empty and f'; {batch.empty}'}") from error
            kind.left_out = str(error)
            return None
        plain = {precision: self._measured(batch, precision, digest, exact) for precision in self.tallies}
        shapes = shapes_text(zip(self._inputs, (tensor.shape for tensor in batch.tensors), strict=True))
        self._inputs_digest.update(bytes.fromhex(digest))
        kind.batches += 1
        kind.shapes[shapes] = None
        return TorchOutputs(batch, shapes, exact, plain)

    def _measured(self, batch: Batch, precision: str, digest: str, exact: Outputs) -> Outputs:
        """Outputs at a precision, whose errors are added."""
        try:
            plain = self._outputs(batch, precision, digest)
        except BackendError as error:
            raise BackendError(f"{error}; choose another precision to hold contenders to") from error
        for name in self._names:
            self._tally(precision, batch.kind, name).add(plain[name], exact[name])
        return plain

    def exact(self, batch: Batch) -> Outputs:
        """Outputs in float64 of a batch that was taken."""
        return self._exact(batch, digest_of(batch.tensors))

    def rounding(self, batch: Batch, exact: Outputs, precision: str, draws: int = DRAWS) -> dict[str, RoundingTally]:
        """What random rounding to a precision does to the float64 results of one batch, by output."""
        drawn = [self._runs.rounded(batch.tensors, precision, seed) for seed in range(draws)]
        return {
            name: RoundingTally.of([values[position] for values in drawn], exact[name])
            for position, name in enumerate(self._names)
        }

    @property
    def inputs_sha256(self) -> str:
        """Of all batches that ran, in order."""
        return self._inputs_digest.hexdigest()

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

    def _exact(self, batch: Batch, digest: str) -> Outputs:
        """Outputs in float64, all of them finite."""
        exact = self._outputs(batch, REFERENCE, digest)
        for name, values in exact.items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise InputError(f"{named('output', name)}: the float64 reference is not finite")
        return exact

    def _outputs(self, batch: Batch, precision: str, digest: str) -> Outputs:
        return dict(zip(self._names, self._runs.run(batch.tensors, precision, digest), strict=True))
