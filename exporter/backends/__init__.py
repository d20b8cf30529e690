"""What runs a model file: files and arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


class Backend(Protocol):
    """A loaded model file."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Runs the model once.

        Raises:
            BackendError: the backend cannot run the model on these inputs.
        """

    def time(self, inputs: Arrays, repeats: int) -> NDArray[np.float64]:
        """Seconds of each of ``repeats`` runs, after one that is not counted."""
