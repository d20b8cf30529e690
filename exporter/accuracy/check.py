"""Holds a model file to its PyTorch reference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.export import ExportedProgram

from attnexport.accuracy.budget import Budget, relative_floor, variants_of
from attnexport.accuracy.compare import ErrorSums
from attnexport.accuracy.data import LABELS, Batch
from attnexport.accuracy.reference import Reference
from attnexport.arrays import as_array
from attnexport.backends import Backend
from attnexport.errors import InputError
from attnexport.program import input_specs, output_names, run_program


@dataclass(frozen=True)
class OutputResult:
    """One output held to its budget.

    Attributes:
        name, dtype: the output.
        relative_l2, largest_error, cosine: of the file against the float64 reference.
        budget: what was allowed, None for outputs that must be equal (integers, booleans).
        mismatches: elements that differ, for outputs that must be equal.
        not_finite: elements that are NaN or infinite where the reference is finite.
    """

    name: str
    dtype: str
    relative_l2: float
    largest_error: float
    cosine: float
    budget: Budget | None
    mismatches: int
    not_finite: int

    @property
    def passed(self) -> bool:
        """Whether the output is within its budget."""
        if self.budget is None:
            return self.mismatches == 0
        return self.not_finite == 0 and self.largest_error <= self.budget.limit

    @property
    def failure(self) -> str:
        """One line on what is wrong, empty when nothing is."""
        if self.passed:
            return ""
        if self.budget is None:
            return f"output {self.name}: expected equal {self.dtype} values, {self.mismatches} differ"
        if self.not_finite:
            return f"output {self.name}: {self.not_finite} values are NaN or infinite"
        factor = self.largest_error / self.budget.limit if self.budget.limit else float("inf")
        return (
            f"output {self.name}: largest error {self.largest_error:.3g} is {factor:.3g} times "
            f"the allowed {self.budget.limit:.3g}"
        )


@dataclass
class TaskResult:
    """Predictions (argmax over the last axis of an output) in PyTorch and in the file.

    Attributes:
        output: the output's name.
        predictions: how many were compared.
        agreeing: how many are the same in both.
        labelled: how many had a label; right_torch and right_file of these were right.
    """

    output: str
    predictions: int = 0
    agreeing: int = 0
    labelled: int = 0
    right_torch: int = 0
    right_file: int = 0

    @property
    def agreement(self) -> float:
        """Share of equal predictions."""
        return self.agreeing / self.predictions if self.predictions else 1.0

    @property
    def accuracy_torch(self) -> float | None:
        """Share of right predictions in PyTorch, None without labels."""
        return self.right_torch / self.labelled if self.labelled else None

    @property
    def accuracy_file(self) -> float | None:
        """Share of right predictions in the file, None without labels."""
        return self.right_file / self.labelled if self.labelled else None

    def add(self, in_torch: NDArray[Any], in_file: NDArray[Any], labels: NDArray[Any] | None) -> None:
        """Takes in one batch of outputs (..., classes) and labels (...)."""
        chosen_torch, chosen_file = in_torch.argmax(-1), in_file.argmax(-1)
        self.predictions += chosen_torch.size
        self.agreeing += int((chosen_torch == chosen_file).sum())
        if labels is not None:
            self.labelled += labels.size
            self.right_torch += int((chosen_torch == labels).sum())
            self.right_file += int((chosen_file == labels).sum())


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes:
        outputs: every output of the model.
        task: predictions compared, None when no data was given or no output is a prediction.
        batches: number of runs.
        notes: what a user should know, one sentence each.
    """

    outputs: tuple[OutputResult, ...]
    task: TaskResult | None
    batches: int
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every output is within its budget."""
        return all(output.passed for output in self.outputs)


@dataclass
class _Output:
    name: str
    torch_error: ErrorSums = field(default_factory=ErrorSums)
    file_error: ErrorSums = field(default_factory=ErrorSums)
    dtype: torch.dtype | None = None
    mismatches: int = 0


def match_names(kind: str, wanted: tuple[str, ...], given: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    """Which of the file's names stands for which of the model's: by name, else by position with a note.

    Raises:
        InputError: another number of names.
    """
    if len(wanted) != len(given):
        raise InputError(
            f"{kind}s: expected {len(wanted)} ({', '.join(wanted)}), the file has {len(given)} ({', '.join(given)})"
        )
    if set(wanted) == set(given):
        return {name: name for name in wanted}, []
    note = f"{kind}s were matched by position: {', '.join(wanted)} in the model, {', '.join(given)} in the file"
    return dict(zip(wanted, given, strict=True)), [note]


def check(
    program: ExportedProgram, backend: Backend, batches: Iterable[Batch], *, compare_task: bool = False
) -> CheckReport:
    """Runs the model in float64 and at its own precision and the file beside it, and compares every output.

    Args:
        program: the model.
        backend: the loaded file.
        batches: inputs.
        compare_task: compare predictions too, of the first floating output of rank 2 or more that fits the labels.
            Default: False.

    Raises:
        InputError: inputs or outputs that do not match, or a reference that is not finite.
        BackendError: the file does not run.
    """
    names = output_names(program)
    specs = input_specs(program)
    inputs, notes = match_names("input", tuple(spec.name for spec in specs), backend.input_names)
    outputs, more = match_names("output", names, backend.output_names)
    notes += more
    reference, module = Reference(program), program.module()
    found = [_Output(name) for name in names]
    task: TaskResult | None = None
    count = 0
    for batch in batches:
        count += 1
        feeds = {inputs[spec.name]: as_array(tensor) for spec, tensor in zip(specs, batch.tensors, strict=True)}
        given = backend.run(feeds)
        own = run_program(program, module, batch.tensors)
        wide = reference.run(batch.tensors)
        in_torch = [as_array(value) for value in own]
        for output, value, exact, plain in zip(found, own, wide, in_torch, strict=True):
            _add(output, given[outputs[output.name]], value, as_array(exact), plain, batch.source)
        if compare_task:
            task = _add_task(task, names, own, given, outputs, batch)
    if not count:
        raise InputError("no inputs to compare on")
    return CheckReport(
        outputs=tuple(_result(output, program) for output in found),
        task=task,
        batches=count,
        notes=tuple(notes),
    )


def _add(
    output: _Output,
    given: NDArray[Any],
    value: Tensor,
    exact: NDArray[Any],
    plain: NDArray[Any],
    source: str,
) -> None:
    output.dtype = value.dtype
    if given.shape != exact.shape:
        raise InputError(
            f"output {output.name} at {source}: expected shape {exact.shape}, the file gives {given.shape}"
        )
    if not value.is_floating_point():
        output.mismatches += int((given != plain).sum())
        return
    if not np.isfinite(exact).all():
        raise InputError(f"output {output.name} at {source}: the float64 reference is not finite")
    output.torch_error.add(plain, exact)
    output.file_error.add(given, exact)


def _add_task(
    task: TaskResult | None,
    names: tuple[str, ...],
    own: list[Tensor],
    given: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, str],
    batch: Batch,
) -> TaskResult | None:
    """Compares predictions: of the floating output that the labels fit, without labels of the first."""
    scores = {
        name: as_array(value)
        for name, value in zip(names, own, strict=True)
        if value.is_floating_point() and value.dim() >= 2 and (task is None or name == task.output)
    }
    if not scores:
        return task
    fitting = [name for name in scores if batch.labels is None or batch.labels.shape == scores[name].shape[:-1]]
    if not fitting:
        shapes = " or ".join(f"{values.shape[:-1]} ({name})" for name, values in scores.items())
        assert batch.labels is not None
        raise InputError(f"{batch.source}: {LABELS}: expected shape {shapes}, given {batch.labels.shape}")
    task = task or TaskResult(fitting[0])
    task.add(scores[fitting[0]], given[outputs[fitting[0]]], batch.labels)
    return task


def _result(output: _Output, program: ExportedProgram) -> OutputResult:
    errors = output.file_error
    budget = None
    if output.dtype is not None and output.dtype.is_floating_point:
        floor = relative_floor(variants_of(program), output.dtype)
        budget = Budget(output.torch_error.largest_error, floor * errors.largest_reference)
    return OutputResult(
        name=output.name,
        dtype=str(output.dtype).removeprefix("torch."),
        relative_l2=errors.relative_l2,
        largest_error=errors.largest_error,
        cosine=errors.cosine,
        budget=budget,
        mismatches=output.mismatches,
        not_finite=errors.not_finite,
    )
