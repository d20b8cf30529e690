"""Finds the first tensor inside a file that is outside its error budget.

First one tensor a layer is compared, then every tensor of the first layer that is off. The budget is that of outputs,
twice PyTorch's own error at the same place plus a floor, so that error which grows as PyTorch's does is not blamed;
and what random rounding does counts in place of PyTorch's error where that is more than the budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from attnexport.accuracy.check.findings import Bisection, LayerError
from attnexport.accuracy.check.override import Override
from attnexport.accuracy.diagnosis.bisect.comparison import Comparison, OpenFile
from attnexport.accuracy.diagnosis.bisect.taps import Tap, file_taps, layer_ends
from attnexport.accuracy.inputs.files import Batch
from attnexport.display.progress import Progress, unheard
from attnexport.graph.inspection import external_data, read_model
from attnexport.models.model import Model

TAP_BYTES = 64 * 2**20
"""Bytes of a file's tensors that are in memory at once."""


def bisect(
    model: Model,
    path: Path,
    batch: Batch,
    open_file: OpenFile,
    *,
    precision: str | None = None,
    overrides: Mapping[str, Override] | None = None,
    tap_bytes: int = TAP_BYTES,
    progress: Progress = unheard,
) -> Bisection:
    """Compares the tensors inside an ONNX file with the program's values and names the first that is off.

    Copies of the file that give some of their tensors as outputs are opened one after the other. Each run is
    compared with PyTorch in float64, and with PyTorch at the file's precision for the budget.

    Args:
        model: the model.
        path: the ONNX file that was checked, or that the engine was built from.
        batch: inputs on which it was off.
        open_file: loads a copy of the file, or builds an engine from it.
        precision: fp32, fp16 or bf16, what PyTorch's own error is measured at. Default: None, the model's own.
        overrides: budgets by module path, in place of the rule. Default: None.
        tap_bytes: of the file's tensors that are in memory at once; one tensor at least.
        progress: is told of each step. Default: nobody is.

    Returns:
        The compared tensors in the file's order, the first one outside its budget, and notes.

    Raises:
        InputError: a file that is no ONNX model, or whose inputs or outputs are not the program's.
        BackendError: a copy does not load or run.
    """
    file = read_model(path)
    taps, notes = file_taps(model.program, file)
    external = external_data(file)
    del file
    comparison = Comparison(model, path, external, batch, open_file, precision, overrides or {}, tap_bytes, progress)
    taps = [tap for tap in taps if comparison.can_compare(tap)]

    search = _Search(comparison, [*taps, *comparison.outputs])
    first = search.first_outside([*layer_ends(taps), *range(len(taps), len(search.taps))])
    only_outputs = first is not None and first >= len(taps)
    return Bisection(
        layers=tuple(search.errors[position] for position in sorted(search.errors)),
        guilty=None if first is None else search.errors[first],
        notes=(*notes, *_notes(only_outputs, comparison.largest_change)),
    )


def _notes(only_outputs: bool, change: float) -> list[str]:
    """What taps did to the outputs, and what follows where nothing before the outputs is off."""
    notes = ["every tensor before the outputs is within its budget"] if only_outputs else []
    if change:
        notes.append(f"taps changed the outputs by up to {change:.3g}: tensors were not fused as without them")
    if change and only_outputs:
        notes.append("the error may come with that fusion")
    return notes


@dataclass
class _Search:
    """Errors that were found so far, by position among the taps."""

    comparison: Comparison
    taps: Sequence[Tap]
    errors: dict[int, LayerError] = field(default_factory=dict)

    def first_outside(self, ends: Sequence[int]) -> int | None:
        """The first tap outside its budget, given the last tap of each layer; None when all of these are within."""
        self._compare(ends)
        while outside := self._outside(ends):
            before = max((end for end in ends if end < outside[0]), default=-1)
            inside = range(before + 1, outside[0])
            self._compare(inside)
            first = next(iter(self._outside(inside)), outside[0])
            self._look_again([first])
            if not self.errors[first].passed:
                return first
            # Where rounding decides, it decides what follows too.
            self._look_again(self._outside([*inside, *ends]))
        return None

    def _outside(self, positions: Sequence[int]) -> list[int]:
        return [position for position in positions if not self.errors[position].passed]

    def _compare(self, positions: Sequence[int]) -> None:
        fresh = [position for position in positions if position not in self.errors]
        self.errors |= zip(fresh, self.comparison.errors([self.taps[position] for position in fresh]), strict=True)

    def _look_again(self, positions: Sequence[int]) -> None:
        taps, errors = [self.taps[at] for at in positions], [self.errors[at] for at in positions]
        self.errors |= zip(positions, self.comparison.look_again(taps, errors), strict=True)
