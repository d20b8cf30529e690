"""What a recorded set says of itself: which model it is from, and the hash of every file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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
    """

    model: str
    model_sha256: str
    source_hash: str
    seed: int | None
    outputs: Mapping[str, str]
    batches: tuple[RecordedBatch, ...]
    allowed: Mapping[str, Mapping[str, Mapping[str, Allowed]]]
    environment: Mapping[str, str]
