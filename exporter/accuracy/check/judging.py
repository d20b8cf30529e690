"""Runs one contender and gathers what is wrong with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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
from attnexport.accuracy.errors.yardstick_tallies import RoundingTally, YardstickTally
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
        suspect: the first batch on which an output is outside its budget, or None.
    """

    def __init__(self, contender: Contender, plan: Plan, runs: TorchRuns) -> None:
        self._contender, self._plan, self._runs = contender, plan, runs
        self._names = names = runs.model.output_names
        self._tallies: dict[tuple[str, str], ContenderTally] = {}
        self._spreads = {name: Spread(name) for name in names}
        self._metrics = [MetricMeans(metric, plan.max_drop) for metric in plan.metrics]
        self._predictions = PredictionCounts() if plan.predictions else None
        self.suspect: Batch | None = None
        self._first_wrong: Batch | None = None
        self._settled: set[str] = set()
        self._seconds: list[float] = []
        self._failures: list[Failure] = list(contender.failures)
        self._first_error: BackendError | None = None

    @property
    def facts(self) -> ContenderFacts:
        """The contender."""
        return self._contender.facts

    @property
    def precision(self) -> str:
        """Of the PyTorch run that it is held to, among those of the runs."""
        return self._contender.precision

    def take(self, torch: TorchOutputs) -> None:
        """Runs the contender on one batch, as often as planned, and compares every run.

        Raises:
            InputError: outputs of another shape, or labels that do not fit.
        """
        first: Outputs | None = None
        for _ in range(self._plan.repeat):
            given = self._run(torch)
            if given is None:
                return
            for name in self._names:
                self._compare(name, torch, given[name])
                if first is not None:
                    self._spreads[name] = widened(self._spreads[name], first[name], given[name])
            first = first or given
        assert first is not None
        if self._predictions is not None:
            self._predictions.add(torch.batch, torch.exact, first)
        for metric in self._metrics:
            metric.add(torch.batch, torch.exact, first)

    def doubted(self, yardsticks: Yardsticks) -> set[str]:
        """Batches on which it errs, of the kinds of inputs on which an output is outside its budget."""
        return {
            source
            for key, tally in self._tallies.items()
            if tally.is_outside(self._yardstick(key, yardsticks))
            for source in tally.outside(self._yardstick(key, yardsticks))
        }

    def look_again(
        self, batch: Batch, yardsticks: Yardsticks, rounding: Callable[[str], Mapping[str, RoundingTally]]
    ) -> None:
        """Lets random rounding of the model excuse what is wrong on a batch.

        An output that one batch alone leaves outside is settled: it fails, and needs no further look.

        Args:
            batch: was taken.
            yardsticks: of all batches.
            rounding: gives by precision what random rounding does on this batch.
        """
        wrong = self._wrong(batch, yardsticks)
        if not wrong:
            return
        self._first_wrong = self._first_wrong or batch
        for name in wrong:
            tally = self._tallies[batch.kind, name]
            if tally.is_finite(batch.source):
                tally.rounding.merge(rounding(self.precision)[name])
        for name in self._wrong(batch, yardsticks):
            self.suspect = self.suspect or batch
            key = batch.kind, name
            if self._tallies[key].is_settled(batch.source, self._yardstick(key, yardsticks)):
                self._settled.add(name)

    def _wrong(self, batch: Batch, yardsticks: Yardsticks) -> list[str]:
        """Outputs that are outside their budget, on this batch too, and not settled."""
        found = []
        for name in self._names:
            key = batch.kind, name
            if name not in self._settled and key in self._tallies:
                tally, yardstick = self._tallies[key], self._yardstick(key, yardsticks)
                if tally.is_outside(yardstick) and batch.source in tally.outside(yardstick):
                    found.append(name)
        return found

    def _yardstick(self, key: tuple[str, str], yardsticks: Yardsticks) -> YardstickTally:
        return yardsticks.tallies[self.precision][key]

    def result(self, yardsticks: Yardsticks) -> ContenderResult:
        """Everything gathered, held to the budget.

        Raises:
            BackendError: the contender ran on no batch.
        """
        if not self._tallies and self._first_error is not None:
            raise self._first_error
        outputs = tuple(self._output(name, yardsticks) for name in self._names)
        if not all(output.passed for output in outputs):
            self.suspect = self.suspect or self._first_wrong
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
        dtypes = {output.name: dtype_name(output.dtype) for output in self._runs.model.outputs}
        kinds = (
            tally.result(key[0], self._yardstick(key, yardsticks))
            for key, tally in self._tallies.items()
            if key[1] == name
        )
        return OutputErrors(name, dtypes[name], tuple(kinds))

    def _run(self, torch: TorchOutputs) -> Outputs | None:
        """Outputs for one batch, None when the contender does not run on it."""
        if self._contender.is_yardstick and self._plan.repeat == 1:
            return torch.plain[self.precision]
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

    def _compare(self, name: str, torch: TorchOutputs, given: NDArray[Any]) -> None:
        batch, exact = torch.batch, torch.exact[name]
        if given.shape != exact.shape:
            raise InputError(
                f"{self.facts.name}: {named('output', name)} at {batch.source}: expected shape {exact.shape}, "
                f"the file gives {given.shape}"
            )
        key = batch.kind, name
        if key not in self._tallies:
            self._tallies[key] = ContenderTally(self._contender.is_yardstick)
        self._tallies[key].add(batch.source, given, exact, torch.plain[self.precision][name])

    def _repeatability(self) -> Repeatability | None:
        if self._plan.repeat == 1:
            return None
        return Repeatability(self._plan.repeat, tuple(self._spreads.values()), tuple(self._seconds))
