"""A backend that is PyTorch itself, with faults on request."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.export import ExportedProgram

from attnexport.arrays import as_array
from attnexport.program import example_inputs, input_specs, output_names, run_program

Fault = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


class TorchBackend:
    """Runs the program as a file would run, and then lets ``fault`` change the outputs.

    Args:
        program: what to run.
        fault: takes the outputs by name and returns what the file is to give. Default: None, as they are.
        inputs: names of the file's inputs. Default: None, the program's.
    """

    def __init__(self, program: ExportedProgram, fault: Fault | None = None, inputs: tuple[str, ...] = ()) -> None:
        self._program, self._module = program, program.module()
        self._fault = fault or (lambda outputs: outputs)
        self.input_names = inputs or tuple(spec.name for spec in input_specs(program))
        self.output_names = tuple(self._outputs(example_inputs(program)))
        self.feeds: list[dict[str, np.ndarray]] = []

    def run(self, inputs):
        self.feeds.append(dict(inputs))
        return self._outputs([torch.from_numpy(inputs[name]) for name in self.input_names])

    def _outputs(self, tensors: Sequence[torch.Tensor]) -> dict[str, np.ndarray]:
        values = map(as_array, run_program(self._program, self._module, tensors))
        return self._fault(dict(zip(output_names(self._program), values, strict=True)))

    def time(self, inputs, repeats):
        raise NotImplementedError
