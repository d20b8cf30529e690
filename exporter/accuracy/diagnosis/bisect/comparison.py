"""Runs a file with taps beside the program and compares what they give."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attnexport.accuracy.check.budget import relative_floor
from attnexport.accuracy.check.findings import LayerError
from attnexport.accuracy.check.override import Override
from attnexport.accuracy.check.yardsticks import DRAWS
from attnexport.accuracy.contenders.contenders import match_names
from attnexport.accuracy.contenders.torch_runs import plain_array
from attnexport.accuracy.diagnosis.bisect.errors import finite_errors, layer_error
from attnexport.accuracy.diagnosis.bisect.tapped_files import TensorStore, scratch_folder, tapped_copy
from attnexport.accuracy.diagnosis.bisect.taps import Tap, tap_at
from attnexport.accuracy.diagnosis.bisect.values_inside import VisitValue, visit_values
from attnexport.accuracy.errors.distance import largest_distance
from attnexport.accuracy.inputs.files import Batch
from attnexport.backends import Backend, fed
from attnexport.display.progress import Progress
from attnexport.files.arrays import as_array
from attnexport.messages import count
from attnexport.models.interpreting import Rounding
from attnexport.models.model import Model
from attnexport.models.precisions import PRECISIONS
from attnexport.variants.registry import variant_of_torch_op
from attnexport.variants.spec import Variant

OpenFile = Callable[[Path], Backend]
"""Loads an ONNX file, or builds an engine from it and loads that."""

Arrays = dict[str, NDArray[Any]]


class Comparison:
    """A file beside its program on one batch. Making one runs the file as it is.

    Args:
        model, path, batch, open_file, precision, overrides, tap_bytes, progress: as ``bisect`` takes them.
        external: files that hold the file's weights, relative to its folder.

    Attributes:
        outputs: taps of the file's floating outputs, in the program's order.
        largest_change: of the file's own outputs, that taps made.

    Raises:
        InputError: the file has another number of inputs or outputs than the program.
        BackendError: the file does not load or run.
    """

    def __init__(
        self,
        model: Model,
        path: Path,
        external: Sequence[str],
        batch: Batch,
        open_file: OpenFile,
        precision: str | None,
        overrides: Mapping[str, Override],
        tap_bytes: int,
        progress: Progress,
    ) -> None:
        self._model, self._path, self._external, self._batch = model, path, external, batch
        self._open_file, self._overrides, self._tap_bytes = open_file, overrides, tap_bytes
        self._progress = progress
        self._precision = precision or model.precision
        self._dtype = None if self._precision == model.precision else PRECISIONS[self._precision]
        self._variants = _variants_up_to(model)
        self.largest_change = 0.0
        self._plain = self._run_file(path)
        outputs = _output_taps(model, tuple(self._plain))
        self.outputs = [tap for tap in outputs if tap.node in model.runner.calls]

    def can_compare(self, tap: Tap) -> bool:
        """Whether PyTorch's value can be seen and the tensor is not one of the file's outputs."""
        return tap.node in self._model.runner.calls and tap.tensor not in self._plain

    def errors(self, taps: Sequence[Tap]) -> list[LayerError]:
        """Errors of these taps, in order; the file's own outputs may be among them.

        PyTorch runs once at the file's precision and once in float64, of which one value is held at a time; what
        the file gives and PyTorch gave at its precision wait on disk.
        """
        by_node: dict[str, list[Tap]] = {}
        for tap in taps:
            by_node.setdefault(tap.node, []).append(tap)
        found: dict[str, LayerError] = {}
        with scratch_folder(self._path) as folder, scratch_folder(self._path) as beside:
            plain, given = TensorStore(folder), TensorStore(beside)
            floors, sizes = self._run_at_own_precision(by_node, plain)
            groups = list(_groups([tap for tap in taps if tap.tensor not in self._plain], sizes, self._tap_bytes))
            for number, group in enumerate(groups):
                self._progress(f"comparing {count(len(taps), 'tensor')} in {self._path.name}", number / len(groups))
                self._run_with(group, given)
            for name, value in self._plain.items():
                given.put(name, value)

            def compare(node: str, exact: Tensor) -> None:
                for tap in by_node[node]:
                    override = self._overrides.get(tap.module)
                    ours, torchs = given.take(tap.tensor), plain.take(node)
                    found[tap.tensor] = layer_error(tap, ours, torchs, exact, floors[node], override)

            self._visit(by_node, compare, dtype=torch.float64)
        return [found[tap.tensor] for tap in taps]

    def look_again(self, taps: Sequence[Tap], errors: Sequence[LayerError]) -> list[LayerError]:
        """The errors of taps, their budgets with what random rounding does to the float64 program there."""
        finite = {tap.node for tap, error in zip(taps, errors, strict=True) if np.isfinite(error.share)}
        moved = self._moved_by_rounding(finite)
        return [
            replace(error, budget=replace(error.budget, rounding_error=moved[tap.node]))
            if error.budget is not None and tap.node in moved
            else error
            for tap, error in zip(taps, errors, strict=True)
        ]

    def _moved_by_rounding(self, nodes: Collection[str]) -> dict[str, float]:
        """How far random rounding moves values, the largest of DRAWS draws."""
        moved: dict[str, float] = {}
        with scratch_folder(self._path) as folder:
            store = TensorStore(folder)
            for seed in range(DRAWS):
                self._progress(f"rounding at random inside {self._path.name}", seed / DRAWS)

                def keep(node: str, value: Tensor, seed: int = seed) -> None:
                    store.put(f"{node} {seed}", as_array(value))

                self._visit(nodes, keep, rounding=Rounding(PRECISIONS[self._precision], seed))

            def compare(node: str, exact: Tensor) -> None:
                errors = [finite_errors(store.take(f"{node} {seed}"), exact) for seed in range(DRAWS)]
                moved[node] = max(error.largest_error for error in errors)

            self._visit(nodes, compare, dtype=torch.float64)
        return moved

    def _run_at_own_precision(
        self, wanted: Collection[str], store: TensorStore
    ) -> tuple[dict[str, float], dict[str, int]]:
        """Keeps PyTorch's values; returns the floors and bytes of each."""
        floors: dict[str, float] = {}
        sizes: dict[str, int] = {}

        def keep(node: str, value: Tensor) -> None:
            store.put(node, plain_array(value))
            floors[node] = relative_floor(self._variants[node], value.dtype)
            sizes[node] = value.nbytes

        self._visit(wanted, keep, dtype=self._dtype)
        return floors, sizes

    def _visit(
        self,
        wanted: Collection[str],
        visit: VisitValue,
        *,
        dtype: torch.dtype | None = None,
        rounding: Rounding | None = None,
    ) -> None:
        visit_values(self._model, self._batch.tensors, wanted, visit, dtype=dtype, rounding=rounding)

    def _run_with(self, taps: Sequence[Tap], store: TensorStore) -> None:
        """Keeps what a copy of the file gives for these taps, and notes what they did to its outputs."""
        with tapped_copy(self._path, self._external, [tap.tensor for tap in taps]) as copy:
            given = self._run_file(copy)
        for tap in taps:
            store.put(tap.tensor, given[tap.tensor])
        for name, plain in self._plain.items():
            self.largest_change = max(self.largest_change, largest_distance(given[name], plain))

    def _run_file(self, path: Path) -> Arrays:
        backend = self._open_file(path)
        infos = {info.name: info for info in backend.inputs}
        names, _ = match_names("input", self._model.input_names, backend.input_names)
        pairs = zip(self._model.input_names, self._batch.tensors, strict=True)
        return backend.run({names[name]: fed(as_array(value), infos[names[name]]) for name, value in pairs})


def _groups(taps: Sequence[Tap], sizes: Mapping[str, int], limit: int) -> Iterator[list[Tap]]:
    """The taps in groups of at most ``limit`` bytes, or of one."""
    group: list[Tap] = []
    held = 0
    for tap in taps:
        if group and held + sizes[tap.node] > limit:
            yield group
            group, held = [], 0
        group.append(tap)
        held += sizes[tap.node]
    if group:
        yield group


def _variants_up_to(model: Model) -> dict[str, Sequence[Variant]]:
    """For each node the variants that its value may depend on: those called up to it, or all if any call is nested."""
    found: list[Variant] = []
    up_to: dict[str, Sequence[Variant]] = {}
    for node in model.program.graph.nodes:
        variant = variant_of_torch_op(node.target)
        if variant is not None:
            found.append(variant)
        up_to[node.name] = tuple(found)
    every = model.variants
    return up_to if set(every) == set(found) else dict.fromkeys(up_to, every)


def _output_taps(model: Model, given: tuple[str, ...]) -> list[Tap]:
    """Taps of the model's floating outputs, by the file's names for them."""
    matched, _ = match_names("output", model.output_names, given)
    return [tap_at(matched[spec.name], spec.node) for spec in model.outputs if spec.dtype.is_floating_point]
