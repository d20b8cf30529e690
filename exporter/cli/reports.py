"""Options for the files that tell what a check found, and the writing of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from attnexport.cli.console import write_json
from attnexport.cli.untrusted import OUTPUT
from attnexport.errors import InputError
from attnexport.files.outputs import check_not_same, check_output, replacing

if TYPE_CHECKING:
    from attnexport.accuracy.check.results import CheckReport

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = {
    "json_path": ("--json", "Write the report here too."),
    "junit_path": ("--junit", "As JUnit XML, a test case an output and contender, for CI."),
    "markdown_path": ("--markdown", "As Markdown, for a pull request."),
    "html_path": ("--html", "As one HTML page with plots."),
}


def report_options(command: F) -> F:
    """Adds --json, --junit, --markdown and --html."""
    for name, (option, text) in reversed(_OPTIONS.items()):
        command = click.option(option, name, type=OUTPUT, help=text)(command)
    return command


def report_paths(given: dict[str, Any], *inputs: Path | None) -> dict[str, Path]:
    """Takes the files that were asked for out of the given options.

    Raises:
        InputError: a file that cannot be written, that is an input, or that was given twice.
    """
    paths: dict[str, Path] = {}
    for name, (option, _) in _OPTIONS.items():
        path: Path | None = given.pop(name)
        if path is None:
            continue
        check_output(path)
        check_not_same(path, *inputs)
        if path.resolve() in {other.resolve() for other in paths.values()}:
            raise InputError(f"{option}: expected another file than the other reports', given {path}")
        paths[name] = path
    return paths


def write_reports(report: CheckReport, paths: Mapping[str, Path]) -> None:
    """Writes each file whole or not at all.

    Args:
        report: what was found.
        paths: of :func:`report_paths`.
    """
    from attnexport.accuracy.reports import html, junit, markdown
    from attnexport.accuracy.reports.json_report import as_json

    if "json_path" in paths:
        write_json(paths["json_path"], as_json(report))
    for name, render in (("junit_path", junit.render), ("markdown_path", markdown.render), ("html_path", html.render)):
        if name in paths:
            with replacing(paths[name]) as staging:
                (staging / paths[name].name).write_text(render(report), encoding="utf-8")
