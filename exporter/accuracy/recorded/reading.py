"""The inputs of a recorded set, for the model that it was recorded from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from attnexport.accuracy.inputs.files import Batch, whole_file
from attnexport.accuracy.recorded.manifest_json import read_manifest
from attnexport.errors import InputError
from attnexport.models.model import Model


def recorded_batches(folder: Path, model: Model, *, seed: int | None = None) -> Iterator[Batch]:
    """The batches of a set, after every file of it was checked, and that it is of this seed where one is given.

    Raises:
        InputError: a set that was cut off or altered, or is from another model or seed.
    """
    manifest = read_manifest(folder)
    if manifest.source_hash != model.source_hash:
        raise InputError(
            f"{folder}: recorded from another model, or from other weights: expected source hash "
            f"{model.source_hash[:12]}…, given {manifest.source_hash[:12]}… ({manifest.model})"
        )
    if seed is not None and seed != manifest.seed:
        given = "data without a seed" if manifest.seed is None else f"seed {manifest.seed}"
        raise InputError(f"{folder}: expected a set of seed {seed}, given {given}")
    for position, batch in enumerate(manifest.batches, 1):
        inputs = folder / "inputs" / f"{batch.name}.npz"
        labels = f"labels/{batch.name}.npz"
        yield whole_file(
            model,
            inputs,
            labels=folder / labels if labels in batch.files else None,
            kind=batch.kind,
            done=position / len(manifest.batches),
        )
