"""What was found beside the errors of outputs, as plain data: repetitions, other builds, layers and hazards."""

from __future__ import annotations

import math
from dataclasses import dataclass

from attnexport.accuracy.check.budget import Budget, beyond
from attnexport.accuracy.errors.measures import Spread


@dataclass(frozen=True)
class Repeatability:
    """The same contender on the same inputs, several times.

    Attributes:
        runs: of each batch.
        spreads: one an output.
        seconds: of every run, in order.
    """

    runs: int
    spreads: tuple[Spread, ...]
    seconds: tuple[float, ...]

    @property
    def bit_equal(self) -> bool:
        """Whether every repetition gave the same bits."""
        return all(spread.differing == 0 for spread in self.spreads)


@dataclass(frozen=True)
class Build:
    """One build of an engine.

    Attributes:
        sha256: of the engine.
        build_seconds: time to build it.
        run_seconds: median time of a run.
        spreads: how far its outputs are from the first build's, one an output.
    """

    sha256: str
    build_seconds: float
    run_seconds: float
    spreads: tuple[Spread, ...]


@dataclass(frozen=True)
class LayerError:
    """One tensor inside the model.

    Attributes:
        layer: module path in PyTorch, as ``blocks.3.attention``.
        op: operator that computes it.
        tensor: its name in the contender.
        largest_error, relative_l2: against the float64 reference.
        budget: what is allowed, None where PyTorch has no counterpart at the contender's precision.
        not_finite: elements that are NaN or infinite where the reference is finite.
        wrong_shape: the shapes, where the contender's is another; its errors are infinite then.
    """

    layer: str
    op: str
    tensor: str
    largest_error: float
    relative_l2: float
    budget: Budget | None
    not_finite: int = 0
    wrong_shape: str = ""

    @property
    def passed(self) -> bool:
        """Whether it is within its budget, if it has one."""
        return self.budget is None or (self.not_finite == 0 and self.share <= 1)

    @property
    def share(self) -> float:
        """Share of the budget that is used: above 1 is outside, infinite where values are not finite."""
        if self.not_finite:
            return math.inf
        if self.budget is not None:
            return self.budget.share(self.largest_error, self.relative_l2)
        return math.inf if self.largest_error > 0 else 0.0

    def __str__(self) -> str:
        """Where, what and by how much, in one line."""
        where = f"{self.layer or 'the model itself'} ({self.op}, tensor {self.tensor})"
        if self.wrong_shape:
            return f"{where}: {self.wrong_shape}"
        if self.not_finite:
            return f"{where}: {self.not_finite} values are NaN or infinite"
        if self.budget is None:
            return f"{where}: largest error {self.largest_error:.3g}"
        return f"{where}: {' '.join(beyond(self.budget, self.largest_error, self.relative_l2))}"


@dataclass(frozen=True)
class Bisection:
    """Which layer goes wrong first.

    Attributes:
        layers: in topological order.
        guilty: the first above its budget, or None.
        notes: what a user should know, as that taps changed the result.
    """

    layers: tuple[LayerError, ...]
    guilty: LayerError | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hazard:
    """Something about an attention layer that can go wrong on a device or with other inputs.

    Attributes:
        layer: module path in PyTorch.
        head: of the layer, or None for all of them.
        name: of the hazard, as ``largest score``.
        value: what was measured.
        limit: beyond which it is one.
        reached: whether it is beyond.
        meaning: what follows and what to try, one sentence.
        limit_meaning: why the limit lies there, one clause. Default: empty, not told.
    """

    layer: str
    head: int | None
    name: str
    value: float
    limit: float
    reached: bool
    meaning: str
    limit_meaning: str = ""

    def __str__(self) -> str:
        """Where, what and what to try, in one line."""
        where = self.layer if self.head is None else f"{self.layer}, head {self.head}"
        return f"{where}: {self.name} {self.value:.4g}, limit {self.limit:.4g}: {self.meaning}"
