"""Runs one contender and gathers what is wrong with it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from attnexport.accuracy.check.budget_file import BudgetFile
from attnexport.accuracy.check.failures import metric_failure, output_failure, run_failure, unstable_notes
from attnexport.accuracy.check.findings import Repeatability
from attnexport.accuracy.check.results import ContenderResult
from attnexport.accuracy.check.yardsticks import TorchOutputs, Yardsticks
from attnexport.accuracy.contenders.contenders import Contender, Outputs
from attnexport.accuracy.contenders.facts import ContenderFacts, Failure
from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.accuracy.errors.measures import OutputErrors, Spread
from attnexport.accuracy.errors.metrics import MetricMeans, MetricSpec, PredictionCounts
from attnexport.accuracy.errors.sums import widened
from attnexport.accuracy.errors.tallies import ContenderTally
from attnexport.accuracy.inputs.files import Batch
from attnexport.errors import BackendError, InputError
from attnexport.files.arrays import dtype_name
from attnexport.messages import named


@dataclass(frozen=True)
class Plan:
    """How a check is made.

    Attributes:
        predictions: compare predictions, of the first output of scores that the labels fit. Default: False.
        metrics: to compute. Default: none.
        max_drop: how much worse a contender's metrics may be. Default: None, they are shown only.
        repeat: times that every contender runs on each batch. Default: 1.
        budget: overrides. Default: none.
    """

    predictions: bool = False
    metrics: tuple[MetricSpec, ...] = ()
    max_drop: float | None = None
    repeat: int = 1
    budget: BudgetFile = field(default_factory=BudgetFile)


class Judge:
    """Holds one contender to the reference.

    Attributes:
        suspect: the first batch that brought an output outside its budget, or None.
    """

    def __init__(self, contender: Contender, plan: Plan, runs: TorchRuns) -> None:
        self._contender, self._plan, self._runs = contender, plan, runs
        self._names = names = runs.model.output_names
        self._tallies: dict[tuple[str, str], ContenderTally] = {}
        self._spreads = {name: Spread(name) for name in names}
        self._metrics = [MetricMeans(metric, plan.max_drop) for metric in plan.metrics]
        self._predictions = PredictionCounts() if plan.predictions else None
        self.suspect: Batch | None = None
        self._settled: set[str] = set()
        self._seconds: list[float] = []
        self._failures: list[Failure] = list(contender.failures)
        self._first_error: BackendError | None = None

    @property
    def facts(self) -> ContenderFacts:
        """The contender."""
        return self._contender.facts

    def take(self, torch: TorchOutputs, yardsticks: Yardsticks) -> None:
        """Runs the contender on one batch, as often as planned, and compares every run.

        Raises:
            InputError: outputs of another shape, or labels that do not fit.
            BackendError: PyTorch cannot run the model at the contender's precision.
        """
        first: Outputs | None = None
        for _ in range(self._plan.repeat):
            given = self._run(torch)
            if given is None:
                return
            for name in self._names:
                self._compare(name, torch.batch, given[name], torch.exact[name])
                if first is not None:
                    self._spreads[name] = widened(self._spreads[name], first[name], given[name])
            first = first or given
        assert first is not None
        self._hold(torch, yardsticks)
        if self._predictions is not None:
            self._predictions.add(torch.batch, torch.exact, first)
        for metric in self._metrics:
            metric.add(torch.batch, torch.exact, first)

    def outside(self, kind: str, yardsticks: Yardsticks) -> set[str]:
        """Outputs that are outside their budget so far, on inputs of a kind."""
        tallies = yardsticks.tallies[self.facts.precision]
        return {
            name
            for name in self._names
            if (kind, name) in self._tallies and self._tallies[kind, name].is_outside(tallies[kind, name])
        }

    def _hold(self, torch: TorchOutputs, yardsticks: Yardsticks) -> None:
        """Holds everything of the batch's kind to the budget, which is measured only as far as it is needed.

        An output that stays outside is settled: it fails, and needs no further look.
        """
        kind, precision = torch.batch.kind, self.facts.precision
        if yardsticks.has_measured(kind, precision) and self.outside(kind, yardsticks) <= self._settled:
            return
        yardsticks.measure(torch, precision)
        for name in self._names:
            self._tallies[kind, name].add_torch(torch.batch.source, torch.plain[precision][name])
        if self.outside(kind, yardsticks) <= self._settled:
            return
        yardsticks.look_again(torch, precision)
        self._settled |= self.outside(kind, yardsticks)
        if self._settled and self.suspect is None:
            self.suspect = torch.batch

    def result(self, yardsticks: Yardsticks) -> ContenderResult:
        """Everything gathered, held to the budget.

        Raises:
            BackendError: the contender ran on no batch.
        """
        if not self._tallies and self._first_error is not None:
            raise self._first_error
        outputs = tuple(self._output(name, yardsticks) for name in self._names)
        metrics = tuple(metric.result() for metric in self._metrics)
        wrong = (output_failure(self.facts, output) for output in outputs)
        return ContenderResult(
            facts=self.facts,
            outputs=outputs,
            failures=(
                *(failure for failure in wrong if failure is not None),
                *self._failures,
                *(metric_failure(self.facts, metric) for metric in metrics if not metric.passed),
            ),
            predictions=None if self._predictions is None else self._predictions.found,
            metrics=metrics,
            repeatability=self._repeatability(),
            seconds=sum(self._seconds),
            notes=(
                *self._contender.notes,
                *(note for output in outputs for note in unstable_notes(self.facts, output)),
            ),
        )

    def _output(self, name: str, yardsticks: Yardsticks) -> OutputErrors:
        tallies = yardsticks.tallies[self.facts.precision]
        dtypes = {output.name: dtype_name(output.dtype) for output in self._runs.model.outputs}
        kinds = (
            tally.result(kind, tallies[kind, name]) for (kind, output), tally in self._tallies.items() if output == name
        )
        return OutputErrors(name, dtypes[name], tuple(kinds))

    def _run(self, torch: TorchOutputs) -> Outputs | None:
        """Outputs for one batch, None when the contender does not run on it."""
        start = time.perf_counter()
        try:
            outputs = self._contender.outputs(torch.batch)
        except BackendError as error:
            if torch.batch.empty:
                error = BackendError(f"{error}; {torch.batch.source}: {torch.batch.empty}")
            self._first_error = self._first_error or error
            self._failures.append(run_failure(self.facts, torch.batch, torch.shapes, error))
            return None
        self._seconds.append(time.perf_counter() - start)
        return outputs

    def _compare(self, name: str, batch: Batch, given: NDArray[Any], exact: NDArray[Any]) -> None:
        if given.shape != exact.shape:
            raise InputError(
                f"{self.facts.name}: {named('output', name)} at {batch.source}: expected shape {exact.shape}, "
                f"the file gives {given.shape}"
            )
        self._tallies.setdefault((batch.kind, name), ContenderTally()).add(batch.source, given, exact)

    def _repeatability(self) -> Repeatability | None:
        if self._plan.repeat == 1:
            return None
        return Repeatability(self._plan.repeat, tuple(self._spreads.values()), tuple(self._seconds))
