"""The files that tell what a check found: their options, and the writing of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attnexport.cli.options import OutputPath, adding
from attnexport.errors import InputError
from attnexport.files.kinds import HTML, JSON, JUNIT, MARKDOWN
from attnexport.files.outputs import check_not_same, check_output

if TYPE_CHECKING:
    from attnexport.accuracy.check.results import CheckReport


@dataclass(frozen=True)
class ReportOptions:
    """The files that a report is written into; None for those that were not asked for."""

    json: Path | None
    junit: Path | None
    markdown: Path | None
    html: Path | None

    @property
    def paths(self) -> dict[str, Path]:
        """By format, those that were asked for."""
        return {name: path for name, path in vars(self).items() if path is not None}

    def check(self, *inputs: Path | None) -> None:
        """Refuses files that cannot be written, as :func:`check_reports` does."""
        check_reports(self.paths, *inputs)

    def write(self, report: CheckReport) -> None:
        """Writes each file whole or not at all."""
        from attnexport.accuracy.reports.saving import save_report

        for name, path in self.paths.items():
            save_report(report, path, name)


def check_reports(paths: Mapping[str, Path], *inputs: Path | None) -> None:
    """Refuses reports, by format, that cannot be written.

    Raises:
        InputError: a file that cannot be written, that is an input, or that was given twice.
    """
    seen: set[Path] = set()
    for name, path in paths.items():
        check_output(path)
        check_not_same(path, *inputs)
        if path.resolve() in seen:
            raise InputError(f"--{name}: expected another file than the other reports', given {path}")
        seen.add(path.resolve())


report_options = adding(
    click.option("--json", type=OutputPath(JSON, report=True), help="Write the report here too, or - for stdout."),
    click.option(
        "--junit",
        type=OutputPath(JUNIT, report=True),
        help="As JUnit XML, a test case an output and contender, for CI.",
    ),
    click.option("--markdown", type=OutputPath(MARKDOWN, report=True), help="As Markdown, for a pull request."),
    click.option("--html", type=OutputPath(HTML, report=True), help="As one HTML page with plots."),
)
"""The fields of ReportOptions."""
