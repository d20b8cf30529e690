"""From figures of layers alone to the file that is worth writing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from attnexport.calibration.tuning.bench import Alone, Bench, Tried
from attnexport.calibration.tuning.candidates import FLOATING, Candidate, LayerGroup, candidate
from attnexport.calibration.tuning.known import Choice, names_of
from attnexport.calibration.tuning.measuring import Bounds, Measured
from attnexport.calibration.tuning.options import SIZE
from attnexport.calibration.tuning.pareto import front
from attnexport.calibration.tuning.result import MeasuredPlan
from attnexport.calibration.tuning.search import Ladder, Levels, Rung, ladder, search
from attnexport.calibration.tuning.timing import Stopwatch
from attnexport.display.progress import Progress
from attnexport.messages import count

_DOUBT = 1.25
"""How far beyond the bound an estimate may lie for a file to be measured all the same."""


@dataclass
class Task:
    """A search for the cheapest file that holds bounds.

    Attributes:
        bench: measures files.
        tried: candidates.
        alone: their figures, layer by layer.
        bounds: to be held.
        cost: TRAFFIC or SIZE, where files are not timed.
        watch: times files; None where nothing can be timed.
        progress: told how many files were measured.
        measured: whole files, by what each layer is computed in.
        rejected: why files were not chosen that hold, by the same.
    """

    bench: Bench
    tried: Tried
    alone: Alone
    bounds: Bounds
    cost: str
    watch: Stopwatch | None
    progress: Progress
    measured: dict[Choice, Measured] = field(default_factory=dict)
    rejected: dict[Choice, str] = field(default_factory=dict)

    def run(self) -> Choice | None:
        """The cheapest file that holds, and is faster than the floating one where files are timed; None without one.

        Raises:
            BackendError: a file does not run.
        """
        for one in (candidate(FLOATING), *self.tried.candidates):
            self._measure(self.bench.everywhere(one))
        ladders = tuple(self._ladder(group) for group in self.bench.groups)
        search(
            ladders,
            lambda levels: self.bounds.hold(self._measure(_choice(ladders, levels))),
            lambda held, other: self._is_likely(_choice(ladders, held), _choice(ladders, other)),
        )
        for choice in self._by_cost():
            if self._may_be_chosen(choice):
                return choice
        return None

    def alone_of(self, group: LayerGroup) -> dict[str, Measured]:
        """A layer's figures by candidate."""
        return {name: figures[group.name] for name, figures in self.alone.items() if group.name in figures}

    def plans(self) -> tuple[MeasuredPlan, ...]:
        """The files that were measured, cheapest first."""
        choices = self._by_cost()
        points = [(self.bench.weight_bytes(choice), self.measured[choice].error) for choice in choices]
        best = front(points)
        return tuple(replace(self.plan_of(choice), on_front=at in best) for at, choice in enumerate(choices))

    def plan_of(self, choice: Choice) -> MeasuredPlan:
        """What is known of a file."""
        measured, names = self.measured[choice], names_of(choice)
        return MeasuredPlan(
            candidates=names,
            weight_bytes=self.bench.weight_bytes(choice),
            measured=measured,
            holds=self.bounds.hold(measured),
            milliseconds=None if self.watch is None else self.watch.found.get(names),
            rejected=self.rejected.get(choice, ""),
        )

    def _measure(self, choice: Choice) -> Measured:
        if choice not in self.measured:
            self.progress(f"measuring whole files, {count(len(self.measured), 'file')} done", None)
            self.measured[choice] = self.bench.known.measured(choice)
        return self.measured[choice]

    def _may_be_chosen(self, choice: Choice) -> bool:
        if all(chosen.name == FLOATING for chosen in choice) or not self.bounds.hold(self.measured[choice]):
            return False
        if self.watch is None:
            return True
        reason = self.watch.too_slow(choice, self.bench.plain(choice))
        if reason:
            self.rejected[choice] = reason
        return not reason

    def _is_likely(self, held: Choice, other: Choice) -> bool:
        """Whether errors that add up as squares keep the bound, or nearly."""
        if self.bounds.max_error is None:
            return True
        now, then = self._squares(held), self._squares(other)
        expected = self.measured[held].error * math.sqrt(then / now) if now else 0.0
        return expected <= _DOUBT * self.bounds.max_error

    def _squares(self, choice: Choice) -> float:
        pairs = zip(choice, self.bench.groups, strict=True)
        return sum(self.alone[one.name][group.name].error ** 2 for one, group in pairs if one.name != FLOATING)

    def _ladder(self, group: LayerGroup) -> Ladder:
        most = math.inf if self.bounds.max_error is None else self.bounds.max_error
        rungs = [
            Rung(name, self._cost_in(candidate(name), group), measured.error)
            for name, measured in self.alone_of(group).items()
            if measured.error <= most
        ]
        return ladder(rungs, Rung(FLOATING, self._cost_in(candidate(FLOATING), group), 0.0))

    def _by_cost(self) -> list[Choice]:
        """The files that were measured, the cheapest first, of equal ones that which errs least."""

        def key(choice: Choice) -> tuple[float, int, float]:
            pairs = zip(choice, self.bench.groups, strict=True)
            cost = sum(self._cost_in(chosen, group) for chosen, group in pairs)
            return cost, self.bench.weight_bytes(choice), self.measured[choice].error

        return sorted(self.measured, key=key)

    def _cost_in(self, one: Candidate, group: LayerGroup) -> float:
        """Of a layer: its share of the time of the file in which all are in it, where that was timed, else bytes."""
        if self.watch is not None:
            return group.parameters * self.watch.milliseconds(self.bench.everywhere(one))
        return one.weight_bytes(group) if self.cost == SIZE else one.traffic(group)


def _choice(ladders: tuple[Ladder, ...], levels: Levels) -> Choice:
    return tuple(candidate(rungs[level].candidate) for rungs, level in zip(ladders, levels, strict=True))
