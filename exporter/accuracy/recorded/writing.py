"""Writes a recorded set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from attnexport.accuracy.check.budget import ROUNDING_L2, Budget
from attnexport.accuracy.check.environment import environment
from attnexport.accuracy.check.results import DataKind
from attnexport.accuracy.check.yardsticks import TorchOutputs, Yardsticks
from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.accuracy.errors.yardstick_tallies import RoundingTally
from attnexport.accuracy.inputs.files import DATA, LABELS, Batch
from attnexport.accuracy.recorded import standalone as compare
from attnexport.accuracy.recorded.manifest import Allowed, RecordedBatch, SetManifest
from attnexport.accuracy.recorded.manifest_json import write_manifest
from attnexport.display.progress import Progress, unheard
from attnexport.errors import InputError
from attnexport.files.arrays import as_array, dtype_name
from attnexport.files.npz import write_arrays
from attnexport.files.outputs import replacing, sha256


def write_set(
    runs: TorchRuns,
    batches: Iterable[Batch],
    precisions: Sequence[str],
    folder: Path,
    *,
    seed: int | None = None,
    left_out: Mapping[str, str] | None = None,
    progress: Progress = unheard,
) -> tuple[DataKind, ...]:
    """Writes inputs, reference outputs, budgets and the script that compares, whole or not at all.

    Args:
        runs, batches, left_out, progress: as ``check`` takes them.
        precisions: to give budgets for.
        folder: the set, which must not exist yet.
        seed: of generated inputs. Default: None, for data that the user gave.

    Returns:
        The kinds of inputs, those left out too.

    Raises:
        InputError: nothing to record, a folder that cannot be written, or a reference that is not finite for data
            that the user gave.
        BackendError: PyTorch cannot run the model at one of the precisions.
    """
    yardsticks = Yardsticks(runs, precisions)
    with replacing(folder) as staging:
        target = staging / folder.name
        target.mkdir()
        recorded = []
        rounding: defaultdict[tuple[str, str, str], RoundingTally] = defaultdict(RoundingTally)
        empty, values = "", 0
        done = 0.0
        for batch in batches:
            progress(f"recording {batch.source}", done)
            outputs = yardsticks.take(batch)
            if outputs is not None:
                recorded.append(_write_batch(target, runs, batch, outputs))
                empty = empty or f"{batch.source}: {batch.empty}" * bool(batch.empty)
                values += sum(array.size for array in outputs.exact.values())
                for precision in precisions:
                    for name, tally in yardsticks.rounding(batch, outputs.exact, precision, draws=1).items():
                        rounding[precision, batch.kind, name].merge(tally)
            done = batch.done
        kinds = yardsticks.kinds(left_out or {})
        if empty and not values:
            raise InputError(f"expected outputs with values to record, given none: {empty}")
        (target / "compare.py").write_bytes(Path(compare.__file__).read_bytes())
        manifest = SetManifest(
            model=Path(runs.model.name).name,
            model_sha256=runs.model.sha256,
            source_hash=runs.model.source_hash,
            seed=seed,
            outputs={output.name: dtype_name(output.dtype) for output in runs.model.outputs},
            batches=tuple(recorded),
            allowed={precision: _allowed(yardsticks, precision, rounding) for precision in precisions},
            environment=environment(),
        )
        write_manifest(manifest, target)
    return kinds


def _write_batch(folder: Path, runs: TorchRuns, batch: Batch, outputs: TorchOutputs) -> RecordedBatch:
    name = f"{batch.name}-{batch.first_row}" if batch.kind == DATA else batch.name
    inputs = {spec.name: _raw(tensor) for spec, tensor in zip(runs.model.inputs, batch.tensors, strict=True)}
    parts: dict[str, Mapping[str, NDArray[Any]]] = {"inputs": inputs, "reference": outputs.exact}
    if batch.labels is not None:
        parts["labels"] = {LABELS: batch.labels}
    files = {}
    for part, arrays in parts.items():
        path = folder / part / f"{name}.npz"
        path.parent.mkdir(exist_ok=True)
        write_arrays(path, arrays)
        files[f"{part}/{path.name}"] = sha256(path)
    return RecordedBatch(name, batch.kind, files)


def _raw(tensor: Tensor) -> NDArray[Any]:
    """An input as attnrt reads it: bfloat16 as two raw bytes."""
    array = as_array(tensor)
    return array.view("V2") if tensor.dtype == torch.bfloat16 else array


def _allowed(
    yardsticks: Yardsticks, precision: str, rounding: Mapping[tuple[str, str, str], RoundingTally]
) -> dict[str, dict[str, Allowed]]:
    """What a contender of a precision may err, by kind of inputs and output."""
    allowed: dict[str, dict[str, Allowed]] = {}
    for (kind, output), tally in yardsticks.tallies[precision].items():
        moved = rounding[precision, kind, output]
        budget, mismatches = tally.budget(moved), tally.allowed_mismatches(moved)
        if budget is None:
            entry = Allowed(0.0, 0.0, mismatches)
        else:
            limit = _bounded_limit(budget) if tally.judged else None
            entry = Allowed(budget.torch_error, limit, mismatches, budget.largest_l2)
        allowed.setdefault(kind, {})[output] = entry
    return allowed


def _bounded_limit(budget: Budget) -> float:
    """What is allowed: what random rounding does to the model widens it only as far as it may excuse anything."""
    return budget.limit if budget.rounding_l2 <= ROUNDING_L2 else budget.limit_of_torch
