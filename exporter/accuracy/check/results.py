"""What a check found, as plain data: every report is made from this alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from attnexport.accuracy.check.findings import Bisection, Build, Hazard, Repeatability
from attnexport.accuracy.check.override import Override
from attnexport.accuracy.contenders.facts import ContenderFacts, Failure
from attnexport.accuracy.errors.measures import OutputErrors
from attnexport.accuracy.errors.scores import Metric, Predictions

PASSED, FAILED, YARDSTICK, NOT_JUDGED = "passed", "failed", "yardstick", "not judged"
"""What comes out: of a contender one of the first three, of a check one of the others than YARDSTICK."""


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
    def judged(self) -> bool:
        """Whether anything can fail it by its size: not of PyTorch at the precision that it would be held to, unless
        metrics or a budget file judge it."""
        if self.failures or not self.outputs:
            return True
        return any(not output.is_yardstick for output in self.outputs) or any(
            metric.max_drop is not None for metric in self.metrics
        )

    @property
    def outcome(self) -> str:
        """``passed``, ``failed``, or ``yardstick`` for one that was not judged."""
        if self.failures:
            return FAILED
        return PASSED if self.judged else YARDSTICK

    @property
    def verdict(self) -> str:
        """What came out in one line: whether it passed, and on which inputs that was not judged or excused."""
        if self.outcome == YARDSTICK:
            return f"nothing was judged: these are PyTorch's own errors, the yardstick of {self.facts.precision}"
        return "; ".join((f"{'within' if self.passed else 'outside'} its budget", *self.reservations))

    @property
    def share(self) -> float | None:
        """Share of the budget that the output uses which uses most of it; None where no output was judged."""
        return max((output.worst_kind.share for output in self.outputs if not output.is_yardstick), default=None)

    @property
    def reservations(self) -> tuple[str, ...]:
        """On which inputs errors were not judged by size, or were excused because the model is unstable."""
        pairs = [(output.name, kind) for output in self.outputs for kind in output.kinds if not kind.is_yardstick]
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
        layers: module paths in the order in which they run, as ``blocks.3.attention``. Default: none known.
    """

    name: str
    sha256: str
    source_hash: str
    precision: str
    variants: tuple[str, ...]
    layers: tuple[str, ...] = ()


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
        inputs_sha256: of all batches that ran, in order. Default: empty, not known.
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
    inputs_sha256: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong with any contender."""
        return all(contender.passed for contender in self.contenders)

    @property
    def judged(self) -> bool:
        """Whether any contender was judged: not where all are yardsticks."""
        return any(contender.judged for contender in self.contenders)

    @property
    def outcome(self) -> str:
        """``passed``, ``failed``, or ``not judged`` where all contenders are yardsticks."""
        if not self.passed:
            return FAILED
        return PASSED if self.judged else NOT_JUDGED

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What is wrong, contender by contender."""
        return tuple(failure for contender in self.contenders for failure in contender.failures)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the report as HTML, JSON, Markdown or JUnit XML, by the name's end: .html, .json, .md or .xml.

        Raises:
            InputError: another ending, or a file that cannot be written.
        """
        from attnexport.accuracy.reports.saving import save_report

        save_report(self, path)

    def __str__(self) -> str:
        """Verdicts, failures and tables, as Markdown."""
        from attnexport.accuracy.reports.markdown import render

        return render(self)
