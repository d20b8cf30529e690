"""What a user says of inputs, on the command line or in Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from attnexport.accuracy.inputs.data_files import data_files
from attnexport.accuracy.inputs.kinds import kind_names
from attnexport.accuracy.recorded.places import is_recorded_set
from attnexport.errors import InputError
from attnexport.messages import option


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

    def check(self) -> None:
        """Refuses what can be seen to be wrong without a model.

        Raises:
            InputError: data that is not there or of another kind, kinds that do not exist, or options of generated
                inputs beside data.
        """
        kind_names(self.kinds)
        if self.data is None:
            return
        recorded = is_recorded_set(self.data)
        generating = {
            option("--kinds"): self.kinds,
            option("--seeds"): self.seeds,
            option("--longest"): self.longest,
            option("--seed"): None if recorded else self.seed,
        }
        for name, value in generating.items():
            if value is not None:
                raise InputError(f"{name}: expected without {option('--data')}, which has its own inputs")
        if not recorded:
            data_files(self.data)
