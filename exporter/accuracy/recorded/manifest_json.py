"""manifest.json of a recorded set, field by field: docs/report-formats.md has what each key means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnexport.accuracy.recorded.manifest import Allowed, RecordedBatch, SetManifest
from attnexport.accuracy.recorded.places import MANIFEST
from attnexport.accuracy.recorded.standalone import FORMAT, SCHEMA
from attnexport.errors import InputError
from attnexport.files.outputs import sha256
from attnexport.files.schemas import entries_of
from attnexport.files.typed_json import read_json, typed


def write_manifest(manifest: SetManifest, folder: Path) -> None:
    """Writes it into the set's folder."""
    text = json.dumps(as_json(manifest), indent=2, allow_nan=False)
    (folder / MANIFEST).write_text(f"{text}\n", encoding="utf-8")


def as_json(manifest: SetManifest) -> dict[str, Any]:
    """The manifest in plain types."""
    return {
        "schema": SCHEMA,
        "model": manifest.model,
        "model_sha256": manifest.model_sha256,
        "source_hash": manifest.source_hash,
        "seed": manifest.seed,
        "outputs": dict(manifest.outputs),
        "batches": [_batch(batch) for batch in manifest.batches],
        "allowed": {precision: _by_kind(kinds) for precision, kinds in manifest.allowed.items()},
        "environment": dict(manifest.environment),
        "format": FORMAT,
    }


def _batch(batch: RecordedBatch) -> dict[str, Any]:
    return {"name": batch.name, "kind": batch.kind, "files": dict(batch.files)}


def _by_kind(kinds: Mapping[str, Mapping[str, Allowed]]) -> dict[str, Any]:
    return {kind: {output: _allowed(entry) for output, entry in entries.items()} for kind, entries in kinds.items()}


def _allowed(allowed: Allowed) -> dict[str, Any]:
    return {
        "torch_error": allowed.torch_error,
        "limit": allowed.limit,
        "mismatches": allowed.mismatches,
        "relative_l2": allowed.relative_l2,
    }


def read_manifest(folder: Path) -> SetManifest:
    """The manifest of a set all of whose files are as they were written.

    Raises:
        InputError: a manifest that is none, of another format, or a set that was cut off or altered.
    """
    path = folder / MANIFEST
    try:
        manifest: SetManifest = typed(SetManifest, entries_of(SCHEMA, read_json(path), "record the set again"))
    except OSError as error:
        raise InputError(f"{path}: expected the manifest of a recorded set: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: expected the manifest of a recorded set: {error}") from error
    for batch in manifest.batches:
        _check_batch(folder, batch)
    return manifest


def _check_batch(folder: Path, batch: RecordedBatch) -> None:
    """Refuses a batch that names files elsewhere, or whose files are not as they were written."""
    if Path(batch.name).name != batch.name or "\0" in batch.name:
        raise InputError(f"{folder / MANIFEST}: expected names of files inside the set, given {batch.name}")
    needed = {f"{part}/{batch.name}.npz" for part in ("inputs", "reference")}
    optional = {f"labels/{batch.name}.npz"}
    if not needed <= set(batch.files) <= needed | optional:
        raise InputError(f"{folder / MANIFEST}: expected hashes of {', '.join(sorted(needed))}")
    for name, wanted in batch.files.items():
        _check_file(folder, name, wanted)


def _check_file(folder: Path, name: str, wanted: str) -> None:
    file = folder / name
    if not file.is_file():
        raise InputError(f"{folder}: the recorded set was cut off: expected {name}, found none")
    given = sha256(file)
    if given != wanted:
        raise InputError(
            f"{file}: the recorded set was cut off or altered: expected sha256 {wanted[:12]}…, given {given[:12]}…"
        )
