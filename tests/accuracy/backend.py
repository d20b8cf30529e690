"""A backend that is PyTorch itself, with faults on request, and checks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch.export import ExportedProgram

from attnexport.accuracy.check.check import check
from attnexport.accuracy.check.judging import Plan
from attnexport.accuracy.check.results import CheckReport
from attnexport.accuracy.contenders.contenders import BackendContender
from attnexport.accuracy.contenders.facts import ContenderFacts
from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.accuracy.inputs.files import Batch
from attnexport.backends import Backend, TensorInfo
from attnexport.files.arrays import as_array
from attnexport.models.model import Model
from attnexport.models.program import example_inputs, input_specs, output_names
from attnexport.models.running import ProgramRunner

Fault = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


class TorchBackend:
    """Runs the program as a file would run, and then lets ``fault`` change the outputs.

    Args:
        program: what to run.
        fault: takes the outputs by name and returns what the file is to give. Default: None, as they are.
        inputs: names of the file's inputs. Default: None, the program's.
    """

    description = "PyTorch"

    def __init__(self, program: ExportedProgram, fault: Fault | None = None, inputs: tuple[str, ...] = ()) -> None:
        self._program, self._runner = program, ProgramRunner(program)
        self._fault = fault or (lambda outputs: outputs)
        specs = input_specs(program)
        self.input_names = inputs or tuple(spec.name for spec in specs)
        self.inputs = tuple(
            TensorInfo(name, str(spec.dtype).removeprefix("torch."), spec.shape)
            for name, spec in zip(self.input_names, specs, strict=True)
        )
        self.output_names = tuple(self._outputs(example_inputs(program)))
        self.feeds: list[dict[str, np.ndarray]] = []

    def run(self, inputs):
        self.feeds.append(dict(inputs))
        return self._outputs([torch.from_numpy(inputs[name]) for name in self.input_names])

    def _outputs(self, tensors: Sequence[torch.Tensor]) -> dict[str, np.ndarray]:
        values = map(as_array, self._runner.run(tensors))
        return self._fault(dict(zip(output_names(self._program), values, strict=True)))


def contender(
    program: ExportedProgram, backend: Backend, precision: str | None = None, name: str = "file"
) -> BackendContender:
    """The backend as a contender, of the program's own precision unless another is given."""
    model = Model(program)
    facts = ContenderFacts(name, "PyTorch", precision or model.precision, "as given", f"{name}.onnx", "5e" * 32)
    return BackendContender(facts, backend, model)


def checked(program: ExportedProgram, backend: Backend, batches: Iterable[Batch], **plan) -> CheckReport:
    """Holds one backend to the program."""
    return check(TorchRuns(Model(program)), [contender(program, backend)], batches, Plan(**plan))
