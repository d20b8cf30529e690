"""MODEL and the options that go with it, the same for every command that takes a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from attnexport.cli.console import say
from attnexport.cli.untrusted import child_options
from attnexport.models.state.choices import AS_NEEDED

if TYPE_CHECKING:
    from torch.export import ExportedProgram

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class ModelOptions:
    """What the command line says of a model."""

    path: Path | None
    factory: str | None
    weights: Path | None
    weights_key: str | None
    strip_prefix: str | None
    inputs: tuple[str, ...]
    dynamic: tuple[str, ...]
    trust_pickle: bool


def model_options(command: F) -> F:
    """Adds MODEL's options to a command; they arrive as keyword arguments for :func:`options_of`, and the child's."""
    for option in (
        click.option("--trust-pickle", is_flag=True, help="Unpickle a whole module: it can run any code."),
        click.option(
            "--dynamic",
            multiple=True,
            metavar="X:0=NAME,…",
            help="Dynamic dims of an input: x:0=batch,1=2*n[2..256] or x:0=AUTO. Repeatable.",
        ),
        click.option(
            "--inputs",
            multiple=True,
            metavar="X=SIZES:DTYPE",
            help="An example input: x=2x197x384:f32, tokens=2x64:i64[0,96). Repeatable.",
        ),
        click.option("--strip-prefix", metavar="PREFIX", help="Take this off the weights' names: module., model."),
        click.option("--weights-key", metavar="KEY", help="Where in a checkpoint they are: ema, model.state_dict."),
        click.option(
            "--weights",
            type=click.Path(path_type=Path),
            help="Weights for --model: .pt, .pth (tensors only) or .safetensors.",
        ),
        click.option("--model", "factory", metavar="PKG.MODULE:FACTORY", help="Builds the nn.Module."),
    ):
        command = option(command)
    return child_options(command)


def options_of(path: Path | None, given: dict[str, Any]) -> ModelOptions:
    """The options that :func:`model_options` added, from a command's keyword arguments."""
    return ModelOptions(
        path=path,
        factory=given["factory"],
        weights=given["weights"],
        weights_key=given["weights_key"],
        strip_prefix=given["strip_prefix"],
        inputs=given["inputs"],
        dynamic=given["dynamic"],
        trust_pickle=given["trust_pickle"],
    )


@dataclass(frozen=True)
class Loaded:
    """A model ready for use.

    Attributes:
        program: the model.
        dim_names: names of its dynamic dims by input and axis.
        sha256: of its file.
        notes: what a user should know, one sentence each.
    """

    program: ExportedProgram
    dim_names: dict[str, dict[int, str]]
    sha256: str
    notes: tuple[str, ...] = ()


def load_for_runs(options: ModelOptions, state: str = AS_NEEDED) -> Loaded:
    """Loads MODEL as a program whose outputs depend on its inputs alone: written buffers are among those.

    Args:
        options: of the command line.
        state: as ``state.preparing.without_state`` takes it. Default: inputs are made of buffers that outputs need.

    Raises:
        InputError, ConversionError: as :func:`load`, and a model that changes what cannot become an input.
    """
    from attnexport.models.state.preparing import without_state

    loaded = load(options)
    prepared = without_state(loaded.program, state)
    return replace(loaded, program=prepared.program, notes=prepared.notes)


def load(options: ModelOptions) -> Loaded:
    """Loads MODEL as a program, exporting a module with the example inputs given.

    Raises:
        InputError: anything that does not fit, in one line.
        ConversionError: a module that cannot be exported.
    """
    from attnexport.errors import ConversionError, InputError
    from attnexport.models.dynamic_options import parse_dynamic
    from attnexport.models.input_options import bind_inputs, check_inputs, example_tensors, parse_inputs
    from attnexport.models.loading import load_model, named_program
    from attnexport.models.loading.dim_notes import notes_on_fixed
    from attnexport.variants.checks import describe

    wanted = parse_inputs(options.inputs)
    shapes = parse_dynamic(options.dynamic, wanted)
    loaded = load_model(
        options.path,
        factory=options.factory,
        weights=options.weights,
        weights_key=options.weights_key,
        strip_prefix=options.strip_prefix,
        trust_pickle=options.trust_pickle,
        warn=lambda message: say(f"warning: {message}"),
    )
    if loaded.program is not None:
        if options.dynamic:
            raise InputError(f"--dynamic: {options.path} is a program already, whose dynamic dims are fixed")
        if wanted:
            check_inputs(loaded.program, example_tensors(wanted), loaded.dim_names)
        return Loaded(loaded.program, loaded.dim_names, loaded.sha256, notes_on_fixed(loaded.program, loaded.fixed))
    assert loaded.module is not None
    tensors = example_tensors(wanted)
    args, kwargs = bind_inputs(loaded.module, tensors)
    try:
        named = named_program(loaded, args, kwargs, shapes)
    except ConversionError as error:
        if not str(error).startswith("torch.export cannot"):
            raise
        given = ", ".join(f"{name} {describe(tensor)}" for name, tensor in tensors.items())
        raise ConversionError(f"{error}; with the inputs {given}") from error
    return Loaded(named.program, named.dim_names, loaded.sha256, notes_on_fixed(named.program, named.fixed))
