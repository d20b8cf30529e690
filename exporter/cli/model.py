"""MODEL and the options that go with it, the same for every command that takes a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnexport.cli.console import say
from attnexport.cli.options import PATH, adding
from attnexport.cli.untrusted import child_options
from attnexport.models.dynamic_texts import parse_dynamic
from attnexport.models.input_texts import parse_inputs
from attnexport.models.loading.given import GivenModel, WeightsPlace

if TYPE_CHECKING:
    from attnexport.models.model import Model


@dataclass(frozen=True)
class ModelOptions:
    """What the command line says of a model."""

    model: Path | None
    factory: str | None
    weights: Path | None
    weights_key: str | None
    strip_prefix: str | None
    inputs: tuple[str, ...]
    dynamic: tuple[str, ...]
    trust_pickle: bool

    def check(self) -> None:
        """Refuses what can be seen to be wrong before torch is imported.

        Raises:
            InputError: naming the file or the option.
        """
        dims = parse_dynamic(self.dynamic, parse_inputs(self.inputs))
        place = WeightsPlace(self.weights_key, self.strip_prefix)
        GivenModel(self.model, self.factory, self.weights, place, dims is not None).check()


model_options = adding(
    child_options,
    click.option("--model", "factory", metavar="PKG.MODULE:FACTORY", help="Builds the nn.Module."),
    click.option("--weights", type=PATH, help="Weights for --model: .pt, .pth (tensors only) or .safetensors."),
    click.option("--weights-key", metavar="KEY", help="Where in a checkpoint they are: ema, model.state_dict."),
    click.option("--strip-prefix", metavar="PREFIX", help="Take this off the weights' names: module., model."),
    click.option(
        "--inputs",
        multiple=True,
        metavar="X=SIZES:DTYPE",
        help="An example input: x=2x197x384:f32, tokens=2x64:i64[0,96). Repeatable.",
    ),
    click.option(
        "--dynamic",
        multiple=True,
        metavar="X:0=NAME,…",
        help="Dynamic dims of an input: x:0=batch,1=2*n[2..256] or x:0=AUTO. Repeatable.",
    ),
    click.option("--trust-pickle", is_flag=True, help="Unpickle a whole module: it can run any code."),
)
"""The fields of ModelOptions, and the child's options."""


def load(options: ModelOptions) -> Model:
    """Loads MODEL, exporting a module with the example inputs given.

    Raises:
        InputError: anything that does not fit, in one line.
        ConversionError: a module that cannot be exported.
    """
    from attnexport.models.example_inputs import example_tensors
    from attnexport.models.loading.sources import load_model
    from attnexport.models.loading.torch_dims import torch_dims

    wanted = parse_inputs(options.inputs)
    return load_model(
        options.model,
        inputs=example_tensors(wanted),
        dynamic_shapes=torch_dims(parse_dynamic(options.dynamic, wanted)),
        factory=options.factory,
        weights=options.weights,
        weights_key=options.weights_key,
        strip_prefix=options.strip_prefix,
        trust_pickle=options.trust_pickle,
        warn=lambda message: say(f"warning: {message}"),
    )
