"""On which inputs a model runs: the options, the same for check and record, and the batches that they choose."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from attnexport.accuracy.inputs.files import Batch
    from attnexport.accuracy.inputs.sizes import Profiles
    from attnexport.models.model import Model

F = TypeVar("F", bound=Callable[..., Any])

SEEDS = 3
"""Generated batches of each kind of values."""


def input_options(command: F) -> F:
    """Adds the options to a command; they arrive as keyword arguments for :func:`options_of_inputs`."""
    for option in (
        click.option("--longest", type=click.IntRange(min=1), help="Largest dynamic size to generate. Default: 1024."),
        click.option("--seed", type=click.IntRange(min=0), help="Number of the first generated batch. Default: 0."),
        click.option(
            "--seeds",
            type=click.IntRange(min=1),
            help="Generated batches of each kind of values. Default: 3.",
        ),
        click.option(
            "--kinds",
            metavar="KIND,…",
            help="Kinds of inputs to generate: normal, large, constant, one-hot, varied, length-1, long, minimum, "
            "middle, maximum. Default: all.",
        ),
        click.option(
            "--data",
            type=click.Path(path_type=Path),
            help="An .npz, or a folder of them: arrays by input name, and labels. Or a recorded set.",
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class InputOptions:
    """What the command line says of inputs."""

    data: Path | None
    kinds: str | None
    seeds: int | None
    seed: int | None
    longest: int | None


def options_of_inputs(given: dict[str, Any]) -> InputOptions:
    """The options that :func:`input_options` added, from a command's keyword arguments."""
    return InputOptions(given["data"], given["kinds"], given["seeds"], given["seed"], given["longest"])


@dataclass(frozen=True)
class ChosenInputs:
    """Inputs to run.

    Attributes:
        batches: the inputs; they are read or made each time that they are iterated.
        seed: of generated inputs, else None.
        left_out: why, for kinds that the model has no inputs of; filled by the iteration.
    """

    batches: Iterable[Batch]
    seed: int | None
    left_out: Mapping[str, str] = field(default_factory=dict)


def chosen_inputs(model: Model, options: InputOptions, engines: Sequence[Profiles] = ()) -> ChosenInputs:
    """The batches of a recorded set, of data, or generated ones of sizes that every engine takes.

    Raises:
        InputError: kinds that do not exist; options of generated inputs beside data; a model without example inputs.
    """
    from attnexport.accuracy.inputs.generated import chosen_kinds, generated_inputs
    from attnexport.accuracy.inputs.generation import LONGEST
    from attnexport.accuracy.inputs.reading_anew import read_data
    from attnexport.accuracy.recorded.manifest_json import is_recorded_set
    from attnexport.errors import InputError

    if options.data is None:
        seed = options.seed or 0
        longest = LONGEST if options.longest is None else options.longest
        made = generated_inputs(
            model,
            chosen_kinds(options.kinds),
            seeds=options.seeds or SEEDS,
            seed=seed,
            longest=longest,
            engines=engines,
        )
        return ChosenInputs(made, seed, made.left_out)
    data = options.data
    is_set = is_recorded_set(data)
    generating = {"--kinds": options.kinds, "--seeds": options.seeds, "--longest": options.longest}
    for name, value in {**generating, "--seed": None if is_set else options.seed}.items():
        if value is not None:
            raise InputError(f"{name}: expected without --data, which has its own inputs")
    return ChosenInputs(read_data(data, model, seed=options.seed), None)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[Batch], None]]:
    """A bar on stderr, where that is a terminal, which follows the batches that it is called with."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=1.0)

        def follow(batch: Batch) -> None:
            progress.update(task, completed=batch.done)

        yield follow
