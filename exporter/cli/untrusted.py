"""A MODEL that brings its own program is read and run in a child of the command, unless it is trusted."""

from __future__ import annotations

import enum
import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from attnexport.cli.options import OutputPath, adding
from attnexport.errors import InputError
from attnexport.files.outputs import STDOUT

R = TypeVar("R")


class Process(enum.Enum):
    """Whose process runs a command, where it is no child."""

    OF_THE_COMMAND_LINE = enum.auto()
    OF_A_CALLER = enum.auto()


@dataclass(frozen=True)
class Child:
    """The process is a child of the command's.

    Attributes:
        cache: where it keeps reference outputs, in place of what the options say; None for no such place.
    """

    cache: Path | None


child_options = adding(
    click.option(
        "--trust-model", is_flag=True, help="For a .pt2 of your own: run it in this process, which may do what you may."
    ),
    click.option(
        "--max-memory",
        type=click.FloatRange(min=0, min_open=True),
        metavar="GIB",
        help="Memory that a .pt2 may use. Default: three quarters of the machine's.",
    ),
    click.option(
        "--max-cpu-time",
        type=click.IntRange(min=1),
        metavar="SECONDS",
        help="Processor time that a .pt2 may use. Default: an hour of each processor.",
    ),
)


def _without_child_options(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in ("trust_model", "max_memory", "max_cpu_time")}


def strangers_in_a_child(command: Callable[..., R]) -> Callable[..., R]:
    """Runs the command in a child that can harm little, where its MODEL is a file that brings its own program.

    Only where the process is the command line's own: ``main(["convert", …])`` called from Python runs in the caller's
    process, with no limit but the audit of the file.
    """

    @functools.wraps(command)
    def wrapped(**given: Any) -> R:
        context = click.get_current_context()
        process = context.find_root().obj
        if isinstance(process, Child):
            if "cache" in given:
                given["cache"] = process.cache
            with _said_what_is_out_of_reach():
                return command(**_without_child_options(given))
        if process is Process.OF_THE_COMMAND_LINE and sys.platform == "linux" and _is_strangers(given):
            raise SystemExit(_in_a_child(context, given))
        return command(**_without_child_options(given))

    return wrapped


def _is_strangers(given: dict[str, Any]) -> bool:
    """Whether MODEL is a file whose program is its own; the code of a factory or a pickle is trusted by its option."""
    trusted = [
        option
        for option, value in (
            ("--trust-model", given["trust_model"]),
            ("--trust-pickle", given["trust_pickle"]),
            ("--model", given["factory"]),
        )
        if value
    ]
    for option, value in (("--max-memory", given["max_memory"]), ("--max-cpu-time", given["max_cpu_time"])):
        if trusted and value is not None:
            raise InputError(f"{option}: expected without {trusted[0]}, which sets no limits")
    return not trusted and given["model"] is not None and given["model"].is_file()


def _in_a_child(context: click.Context, given: dict[str, Any]) -> int:
    from attnexport.sandbox.limits import Limits, usual_limits
    from attnexport.sandbox.places import Places
    from attnexport.sandbox.supervisor import Command, run_in_child

    usual = usual_limits()
    memory = usual.memory if given["max_memory"] is None else int(given["max_memory"] * 2**30)
    outputs = [
        given[parameter.name]
        for parameter in context.command.params
        if isinstance(parameter.type, OutputPath) and parameter.name and given[parameter.name] not in (None, STDOUT)
    ]
    cache = _cache(given)
    command = Command(
        reading=given["model"],
        outputs=outputs,
        places=Places(tuple(_read(given)), () if cache is None else (cache,)),
        limits=Limits(memory, given["max_cpu_time"] or usual.seconds),
        programs=given.get("rebuild") is not None,
    )
    return run_in_child(command, functools.partial(_again, context.find_root().info_name, cache))


@contextmanager
def _said_what_is_out_of_reach() -> Iterator[None]:
    """Names the cause where the child may not do what the command needs."""
    try:
        yield
    except Exception as error:
        if not any(isinstance(cause, PermissionError) for cause in _chain(error)):
            raise
        said = " ".join(str(error).split())
        raise InputError(f"{said} (a .pt2 sees few files and starts no programs; --trust-model lifts that)") from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _again(program: str | None, cache: Path | None) -> int:
    """The same command line, now in the child."""
    from attnexport.cli import main

    try:
        main(sys.argv[1:], prog_name=program, obj=Child(cache))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _read(given: dict[str, Any]) -> Iterator[Path]:
    """What the command line names, what lies beside contenders, as weights, and the folder of the user's metrics."""
    from attnexport.plugins.building.locations import cache_folder
    from attnexport.sandbox.places import visible

    yield from (value for value in given.values() if isinstance(value, Path))
    yield from (cache_folder(name) for name in ("plugins", "runtime"))
    for contender in given.get("contenders", ()):
        path = Path(contender if Path(contender).exists() else contender.partition(":")[2] or contender)
        if path.is_dir():
            yield path
        elif path.exists():
            yield from visible(path.parent)
    if any(":" in metric for metric in given.get("metrics", ())):
        yield from visible(Path.cwd())


def _cache(given: dict[str, Any]) -> Path | None:
    """The part of the cache that is this model's alone."""
    from attnexport.plugins.building.locations import cache_folder
    from attnexport.sandbox.caches import cache_of

    if "cache" not in given or given["no_cache"]:
        return None
    with suppress(OSError):
        return cache_of(given["model"], given["cache"] or cache_folder("reference"))
    return None
