"""A model as every room takes it: a program, and what is asked of it again and again, asked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from attnexport.models.dim_names import DimNames, FixedDims, notes_on_fixed, symbol_names
from attnexport.models.dims import DynamicDim, dynamic_dims, shapes_at
from attnexport.models.interpreting import Rounding, Visit
from attnexport.models.precisions import own_precision
from attnexport.models.program import (
    OutputSpec,
    TensorSpec,
    example_inputs,
    initial_state,
    input_specs,
    layer_paths,
    module_paths,
    output_specs,
    source_hash,
    state_names,
    variants_of,
)
from attnexport.models.running import ProgramRunner
from attnexport.models.state.choices import REFUSE
from attnexport.models.state.preparing import without_state
from attnexport.variants.spec import Variant


@dataclass(frozen=True, eq=False)
class Model:
    """A model in PyTorch: what :func:`attnexport.load_model` gives, and a live module with its inputs becomes.

    Attributes:
        program: the exported program; it is never changed.
        dim_names: names of the dynamic dims, {input: {axis: name}}; a derived dim's is ``2*n``. Default: none.
        fixed: {input: axes} that were declared with Dim.AUTO, and that torch made static. Default: none.
        path: its file. Default: None, it has none.
        sha256: hex digest of the file, or of several the digest of their digests. Default: empty.
        notes: what a user should know of it, one sentence each: how it was exported, its weights, what became of its
            state. Default: none.
        descriptions: what its modules have to say in the metadata of files, by key. Default: nothing.
    """

    program: ExportedProgram
    dim_names: DimNames = field(default_factory=dict)
    fixed: FixedDims = field(default_factory=dict)
    path: Path | None = None
    sha256: str = ""
    notes: tuple[str, ...] = ()
    descriptions: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What reports call it: its file, as it was given."""
        return str(self.path) if self.path is not None else "the model"

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The tensor inputs in order."""
        return input_specs(self.program)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return tuple(spec.name for spec in self.inputs)

    @cached_property
    def outputs(self) -> tuple[OutputSpec, ...]:
        """The output tensors in order.

        Raises:
            ConversionError: an output that is neither a tensor nor None.
        """
        return output_specs(self.program)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(spec.name for spec in self.outputs)

    @cached_property
    def state_names(self) -> tuple[str, ...]:
        """Inputs that are buffers: the last ones; what they become are the last outputs."""
        return state_names(self.program)

    @cached_property
    def dims(self) -> tuple[DynamicDim, ...]:
        """The dynamic dims."""
        return dynamic_dims(self.program)

    @cached_property
    def symbols(self) -> dict[str, str]:
        """What the dims were called, by torch's names for them."""
        return symbol_names(self.program, self.dim_names)

    @property
    def notes_on_dims(self) -> tuple[str, ...]:
        """A sentence for each dim that is static although it was declared as Dim.AUTO."""
        return notes_on_fixed(self.program, self.fixed)

    @property
    def all_notes(self) -> tuple[str, ...]:
        """Those on its dims, and the others."""
        return (*self.notes_on_dims, *self.notes)

    @cached_property
    def precision(self) -> str:
        """Its own: fp64, fp32, fp16 or bf16."""
        return own_precision(self.program)

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """The variants that it calls, in order of first use."""
        return variants_of(self.program)

    @cached_property
    def module_paths(self) -> tuple[str, ...]:
        """Of the modules that compute something, as ``blocks.3.attention``, in order."""
        return module_paths(self.program)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Paths of the modules whose values are floating, in the order in which they end."""
        return layer_paths(self.program)

    @cached_property
    def source_hash(self) -> str:
        """SHA-256 over graph and parameters: the same model has the same hash."""
        return source_hash(self.program)

    @property
    def has_examples(self) -> bool:
        """Whether the program carries the inputs that it was exported with."""
        return self.program.example_inputs is not None

    @cached_property
    def examples(self) -> tuple[Tensor, ...]:
        """The tensors that it was exported with, in input order.

        Raises:
            ValueError: the program carries none.
        """
        return tuple(example_inputs(self.program))

    @cached_property
    def initial_state(self) -> dict[str, Tensor]:
        """By name of the input, what the buffers that are inputs hold before the first call."""
        return initial_state(self.program)

    def size_name(self, spec: TensorSpec, axis: int) -> str:
        """What messages call a size of an input: its declared name, torch's, or the number."""
        return self.dim_names.get(spec.name, {}).get(axis, str(spec.shape[axis]))

    def shapes_at(self, sizes: Mapping[str, int]) -> list[tuple[int, ...]]:
        """The inputs' shapes when torch's symbols have these sizes."""
        return shapes_at(self.program, sizes)

    @cached_property
    def runner(self) -> ProgramRunner:
        """Runs the program; made with the first run."""
        return ProgramRunner(self.program)

    def run(
        self,
        tensors: Sequence[Tensor],
        *,
        dtype: torch.dtype | None = None,
        rounding: Rounding | None = None,
        visit: Visit | None = None,
    ) -> list[Tensor]:
        """Output tensors in order, of a run without gradients on fresh state.

        Neither the model nor the tensors are changed, whatever forward writes.

        Args:
            tensors: in the order of the inputs.
            dtype: what every floating tensor is held in: inputs, weights and everything between. Default: None, the
                program as it was exported.
            rounding: float64, with every value rounded at random, in place of ``dtype``. Default: None.
            visit: is told of every operator that was called; StopRunning ends the run, which then gives nothing.
                Default: None.
        """
        return self.runner.run(tensors, dtype, rounding, visit)

    def without_state(self, state: str = REFUSE) -> Model:
        """This model with outputs that depend on its inputs alone; see :func:`state.preparing.without_state`.

        Raises:
            ConversionError: outputs depend on a written buffer, or the program changes something else than buffers.
            InputError: another choice.
        """
        program, notes = without_state(self.program, state)
        return self if program is self.program else replace(self, program=program, notes=(*self.notes, *notes))
