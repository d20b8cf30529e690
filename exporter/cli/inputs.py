"""On which inputs a model runs: the options, the same for check and record, and a bar that follows the batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from attnexport.cli.options import PATH, adding

input_options = adding(
    click.option(
        "--data", type=PATH, help="An .npz, or a folder of them: arrays by input name, and labels. Or a recorded set."
    ),
    click.option(
        "--kinds",
        metavar="KIND,…",
        help="Kinds of inputs to generate: normal, large, constant, one-hot, varied, length-1, long, minimum, "
        "middle, maximum. Default: all.",
    ),
    click.option("--seeds", type=click.IntRange(min=1), help="Generated batches of each kind of values. Default: 3."),
    click.option("--seed", type=click.IntRange(min=0), help="Number of the first generated batch. Default: 0."),
    click.option("--longest", type=click.IntRange(min=1), help="Largest dynamic size to generate. Default: 1024."),
)
"""The fields of InputOptions."""


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None]]:
    """A bar on stderr, where that is a terminal, which shows the step that it is told of and its share done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=1.0)

        def follow(step: str, done: float) -> None:
            progress.update(task, description=step, completed=done)

        yield follow
