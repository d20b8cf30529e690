"""What a check found, as plain data: every report is made from this alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from attnexport.accuracy.check.budget import Budget, Override, beyond
from attnexport.accuracy.errors.measures import OutputErrors


@dataclass(frozen=True)
class Failure:
    """One thing that is wrong.

    Attributes:
        contender: name of the contender.
        where: the output and kind of inputs, the layer, or the metric.
        what: what is wrong there.
        amount: by how much.
        advice: what to try, an imperative.
        output: name of the output, empty where it is not about one.
        kind: the kind of inputs, empty where it is not about one.
    """

    contender: str
    where: str
    what: str
    amount: str
    advice: str
    output: str = ""
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.contender}: {self.where}: {self.what} {self.amount}; try: {self.advice}"


@dataclass(frozen=True)
class DataKind:
    """One kind of inputs.

    Attributes:
        name: as ``--kinds`` takes it; ``data`` for data that the user gave.
        title: what it is, in words.
        batches: how many ran.
        shapes: shapes of the inputs that ran, as ``x 2x9x16``, without repetition.
        left_out: why batches of it did not run, empty when all did.
    """

    name: str
    title: str
    batches: int
    shapes: tuple[str, ...]
    left_out: str = ""


@dataclass(frozen=True)
class Predictions:
    """Predictions (argmax over the last axis of an output) in the float64 reference and in the contender.

    Attributes:
        output: the output's name.
        compared: how many were compared.
        agreeing: how many are the same in both.
        labelled: how many had a label; right_reference and right_contender of these were right.
    """

    output: str
    compared: int
    agreeing: int
    labelled: int
    right_reference: int
    right_contender: int

    @property
    def agreement(self) -> float:
        """Share of equal predictions."""
        return self.agreeing / self.compared if self.compared else 1.0

    @property
    def accuracy_reference(self) -> float | None:
        """Share of right predictions in the reference, None without labels."""
        return self.right_reference / self.labelled if self.labelled else None

    @property
    def accuracy_contender(self) -> float | None:
        """Share of right predictions in the contender, None without labels."""
        return self.right_contender / self.labelled if self.labelled else None


@dataclass(frozen=True)
class Metric:
    """A task metric.

    Attributes:
        name: as ``--metric`` takes it.
        reference, contender: its value in float64 and in the contender.
        lower_is_better: as for perplexity.
        max_drop: how much worse the contender may be; None when it is shown only.
    """

    name: str
    reference: float
    contender: float
    lower_is_better: bool
    max_drop: float | None

    @property
    def drop(self) -> float:
        """How much worse than the reference the contender is; negative when better."""
        worse, better = (self.contender, self.reference) if self.lower_is_better else (self.reference, self.contender)
        return worse - better

    @property
    def passed(self) -> bool:
        """Whether the drop is allowed; a drop that is NaN is not."""
        return self.max_drop is None or self.drop <= self.max_drop


@dataclass(frozen=True)
class Spread:
    """How far repetitions of one output lie apart.

    Attributes:
        output: its name.
        largest: largest absolute difference from the first repetition.
        differing: elements that were not bit-equal in some repetition.
        elements: how many were compared, once for each repetition after the first.
    """

    output: str
    largest: float
    differing: int
    elements: int


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
    """

    layer: str
    head: int | None
    name: str
    value: float
    limit: float
    reached: bool
    meaning: str

    def __str__(self) -> str:
        """Where, what and what to try, in one line."""
        where = self.layer if self.head is None else f"{self.layer}, head {self.head}"
        return f"{where}: {self.name} {self.value:.4g}, limit {self.limit:.4g}: {self.meaning}"


@dataclass(frozen=True)
class ContenderFacts:
    """What was held to the reference.

    Attributes:
        name: as the user gave it.
        runtime: what ran it, in words, as ``ONNX Runtime 1.31 (CPU)``.
        precision: fp64, fp32, fp16 or bf16: of the PyTorch run that its budget comes from; or what a quantized file
            rounds to, as int8, where that run has the file's fake quantization.
        precision_source: where that was read, in words.
        path: the file or folder, or None.
        sha256: of the file, or None.
    """

    name: str
    runtime: str
    precision: str
    precision_source: str
    path: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class ContenderResult:
    """One contender held to the reference.

    Attributes:
        facts: what it is.
        outputs: every output of the model; empty for a contender that ran nowhere.
        failures: what is wrong, worst first an output, empty when it passed.
        predictions: compared when data was given and an output is a prediction, else None.
        metrics: as asked for.
        repeatability: with ``--repeat``.
        builds: with ``--rebuild``, in order.
        bisection: with ``--bisect``.
        seconds: time its runs took.
        notes: what a user should know, one sentence each.
    """

    facts: ContenderFacts
    outputs: tuple[OutputErrors, ...]
    failures: tuple[Failure, ...] = ()
    predictions: Predictions | None = None
    metrics: tuple[Metric, ...] = ()
    repeatability: Repeatability | None = None
    builds: tuple[Build, ...] = ()
    bisection: Bisection | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.failures

    @property
    def verdict(self) -> str:
        """What came out in one line: whether it passed, and on which inputs that was not judged or excused."""
        return "; ".join((f"{'within' if self.passed else 'outside'} its budget", *self.reservations))

    @property
    def reservations(self) -> tuple[str, ...]:
        """On which inputs errors were not judged by size, or were excused because the model is unstable."""
        pairs = [(output.name, kind) for output in self.outputs for kind in output.kinds]
        unjudged = [f"{name} on {kind.kind}" for name, kind in pairs if not kind.judged]
        excused = [f"{name} on {kind.kind}" for name, kind in pairs if kind.excused]
        return (
            *([f"not judged: {', '.join(unjudged)}"] if unjudged else ()),
            *([f"excused as unstable: {', '.join(excused)}"] if excused else ()),
        )


@dataclass(frozen=True)
class CheckedModel:
    """The model that contenders were held to.

    Attributes:
        name: the file or factory as the user gave it.
        sha256: of the file.
        source_hash: of graph and weights, as ONNX files carry it.
        precision: its own, as fp32.
        variants: titles of the attention variants in it.
    """

    name: str
    sha256: str
    source_hash: str
    precision: str
    variants: tuple[str, ...]


@dataclass(frozen=True)
class Times:
    """Seconds that parts of a check took; the contenders' are in their results.

    Attributes:
        reference: the float64 runs.
        yardsticks: PyTorch at the contenders' precisions.
        total: from the first batch to the report.
        cached: how many runs of reference and yardsticks came from the cache.
    """

    reference: float
    yardsticks: float
    total: float
    cached: int


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes:
        model: the model.
        contenders: in the order given.
        kinds: kinds of inputs, those left out too.
        batches: number of batches that ran.
        times: where the time went.
        environment: name and version of what had a part in it, in the order to show.
        overrides: of the budget file, with their reasons.
        hazards: of the attention layers, where looked for.
        notes: what a user should know, one sentence each.
    """

    model: CheckedModel
    contenders: tuple[ContenderResult, ...]
    kinds: tuple[DataKind, ...]
    batches: int
    times: Times
    environment: Mapping[str, str]
    overrides: tuple[Override, ...] = ()
    hazards: tuple[Hazard, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every contender passed."""
        return all(contender.passed for contender in self.contenders)

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What is wrong, contender by contender."""
        return tuple(failure for contender in self.contenders for failure in contender.failures)
