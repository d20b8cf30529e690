"""What every way in must make of each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from attnexport.models.example_inputs import bind_inputs, example_tensors
from attnexport.models.input_texts import parse_inputs
from tests.matrix import models


@dataclass(frozen=True)
class Case:
    """A model, its inputs as the command line takes them, and what comes out.

    Attributes:
        model: of tests.matrix.models.
        inputs: texts of --inputs.
        dims: names of dynamic dims by input and axis.
        outputs, verified: of the file.
        notes: parts of what is noted.
        refusal: part of the line that refuses it; the rest is empty then.
        strict: whether torch.export takes it with strict=True.
    """

    model: type[nn.Module]
    inputs: Sequence[str]
    dims: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    outputs: Sequence[str] = ("output",)
    verified: Sequence[str] = ()
    notes: Sequence[str] = ()
    refusal: str = ""
    strict: bool = True

    def build(self) -> nn.Module:
        torch.manual_seed(0)
        return self.model().eval()

    def args(self) -> tuple[Tensor, ...]:
        args, _ = bind_inputs(self.build(), example_tensors(parse_inputs(self.inputs)))
        return args

    @property
    def takes_strict(self) -> bool:
        return self.strict and not self.refusal

    @property
    def inputs_by_name(self) -> list[str]:
        return list(parse_inputs(self.inputs))

    @property
    def options(self) -> list[str]:
        """Of the command line, for a module."""
        dynamic = [
            f"{name}:{','.join(f'{axis}={dim}' for axis, dim in axes.items())}" for name, axes in self.dims.items()
        ]
        return [
            *("--model", f"{models.__name__}:{self.model.__name__}"),
            *(part for text in self.inputs for part in ("--inputs", text)),
            *(part for text in dynamic for part in ("--dynamic", text)),
        ]


CASES = {
    "attention": Case(
        models.Attention,
        ["x=2x6x8"],
        {"x": {0: "batch", 1: "tokens"}},
        verified=["x 2x6x8", "x 1x1x8", "x 5x14x8"],
    ),
    "rank 0 in": Case(
        models.Scaled,
        ["x=2x8", "scale=:f32"],
        {"x": {0: "batch"}},
        verified=["x 2x8, scale scalar", "x 1x8, scale scalar", "x 5x8, scale scalar"],
    ),
    "rank 0 out": Case(models.Total, ["x=2x8"], {"x": {0: "batch"}}, verified=["x 2x8", "x 1x8", "x 5x8"]),
    "size 0": Case(models.Linear, ["x=0x8"], verified=["x 0x8"]),
    "size 1": Case(models.Linear, ["x=1x8"], verified=["x 1x8"]),
    "size 1, dynamic": Case(
        models.Linear, ["x=1x8"], {"x": {0: "batch"}}, refusal="'batch' (x axis 0) is 1 in the example"
    ),
    "size 0, dynamic": Case(
        models.Linear, ["x=0x8"], {"x": {0: "batch"}}, refusal="'batch' (x axis 0) is 0 in the example"
    ),
    "multiple": Case(models.Halves, ["x=2x6x8"], {"x": {1: "2*n"}}, verified=["x 2x6x8", "x 2x4x8", "x 2x14x8"]),
    "multiple that the example is not": Case(
        models.Halves, ["x=2x7x8"], {"x": {1: "2*n"}}, refusal="is 7 in the example, which no n makes"
    ),
    "one dim from another": Case(
        models.Strided,
        ["x=2x8x9", "y=2x8x4"],
        {"x": {0: "b", 2: "2*n+1"}, "y": {0: "b", 2: "n"}},
        verified=["x 2x8x9, y 2x8x4", "x 1x8x5, y 1x8x2", "x 5x8x21, y 5x8x10"],
    ),
    "AUTO": Case(models.Halves, ["x=2x6x8"], {"x": {1: "AUTO"}}, verified=["x 2x6x8", "x 2x4x8", "x 2x12x8"]),
    "AUTO, one from another": Case(
        models.Strided,
        ["x=2x8x9", "y=2x8x4"],
        {"x": {2: "AUTO"}, "y": {2: "AUTO"}},
        verified=["x 2x8x9, y 2x8x4", "x 2x8x5, y 2x8x2", "x 2x8x19, y 2x8x9"],
    ),
    "AUTO at size 1": Case(
        models.Linear,
        ["x=1x8"],
        {"x": {0: "AUTO"}},
        verified=["x 1x8"],
        notes=["x axis 0: declared as AUTO, and torch fixed it at 1"],
    ),
    "AUTO that the model fixes": Case(
        models.Linear,
        ["x=2x8"],
        {"x": {1: "AUTO"}},
        verified=["x 2x8"],
        notes=["x axis 1: declared as AUTO, and torch fixed it at 8"],
    ),
    "cond": Case(models.Branches, ["x=2x8"], {"x": {0: "batch"}}, verified=["x 2x8", "x 1x8", "x 5x8"]),
    "checkpoint": Case(
        models.Checkpointed, ["x=2x8"], {"x": {0: "batch"}}, verified=["x 2x8", "x 1x8", "x 5x8"], strict=False
    ),
    "keys of inner tensors": Case(models.Collides, ["x=2x8"], outputs=["mean", "linear"], verified=["x 2x8"]),
    "dataclass": Case(
        models.Structured,
        ["x=2x8"],
        outputs=["logits", "hidden_states_0", "hidden_states_1"],
        verified=["x 2x8"],
        strict=False,
    ),
    "inputs and values returned": Case(
        models.Passes, ["x=2x8"], outputs=["output_0", "output_1", "output_3"], verified=["x 2x8"]
    ),
    "numbers returned": Case(models.Counts, ["x=2x8"], refusal="output 1: expected a tensor, the model returns int"),
    "sizes returned": Case(
        models.Counts,
        ["x=2x8"],
        {"x": {0: "b"}},
        refusal="output 1: expected a tensor, the model returns a symbolic number",
    ),
    "lazy": Case(models.Lazy, ["x=2x8"], refusal="first.weight, first.bias of the Lazy: no shape yet"),
}
