"""What a user says of inputs, on the command line or in Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class InputOptions:
    """What a user says of inputs; None for what was not said.

    Attributes:
        data: an .npz, a folder of them, or a recorded set. Default: None, inputs are generated.
        kinds: of generated inputs, as ``normal,large``. Default: None, all.
        seeds: generated batches of each kind of values. Default: None, SEEDS.
        seed: of the first. Default: None, 0.
        longest: size up to which dynamic dims go. Default: None, LONGEST.
    """

    data: Path | None = None
    kinds: str | None = None
    seeds: int | None = None
    seed: int | None = None
    longest: int | None = None
