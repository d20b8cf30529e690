"""manifest.json of a recorded set: which model it is from, and the hash of every file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from attnexport.errors import InputError
from attnexport.files.outputs import sha256
from attnexport.files.typed_json import read_json, typed

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class RecordedBatch:
    """One batch of a set.

    Attributes:
        name: of its files inputs/NAME.npz and reference/NAME.npz, and labels/NAME.npz where it has labels.
        kind: the kind of inputs.
        files: SHA-256 by path below the set.
    """

    name: str
    kind: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class Allowed:
    """What is allowed for one output, kind of inputs and precision.

    Attributes:
        torch_error: PyTorch's largest error at that precision; 0 for outputs that must be equal.
        limit: largest allowed absolute error; 0 for outputs that must be equal, None where only values that are not
            finite count, because PyTorch itself has lost half of its digits.
        mismatches: elements that may differ, for outputs that must be equal.
        relative_l2: relative L2 that no error may exceed, None for any. Default: None.
    """

    torch_error: float
    limit: float | None
    mismatches: int
    relative_l2: float | None = None


@dataclass(frozen=True)
class SetManifest:
    """What a set says of itself.

    Attributes:
        model: name of the model's file.
        model_sha256: of that file.
        source_hash: of the model's graph and weights, as ONNX files carry it.
        seed: of the generated inputs; None for data that the user gave.
        outputs: types of the outputs by name, in order.
        batches: in order.
        allowed: by precision, kind of inputs and output.
        environment: what the set was made with, by name and version.
        format: version of this layout.
    """

    model: str
    model_sha256: str
    source_hash: str
    seed: int | None
    outputs: Mapping[str, str]
    batches: tuple[RecordedBatch, ...]
    allowed: Mapping[str, Mapping[str, Mapping[str, Allowed]]]
    environment: Mapping[str, str]
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Writes it into the set's folder."""
        text = json.dumps(asdict(self), indent=2, allow_nan=False)
        (folder / MANIFEST).write_text(f"{text}\n", encoding="utf-8")


def is_recorded_set(path: Path) -> bool:
    """Whether a path is a recorded set, though its manifest may be missing."""
    return (path / MANIFEST).is_file() or (path / "inputs").is_dir()


def read_manifest(folder: Path) -> SetManifest:
    """The manifest of a set all of whose files are as they were written.

    Raises:
        InputError: a manifest that is none, of another format, or a set that was cut off or altered.
    """
    path = folder / MANIFEST
    try:
        manifest: SetManifest = typed(SetManifest, read_json(path))
    except OSError as error:
        raise InputError(f"{path}: expected the manifest of a recorded set: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: expected the manifest of a recorded set: {error}") from error
    if manifest.format != FORMAT:
        raise InputError(f"{path}: expected format {FORMAT}, given {manifest.format}")
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
