"""``attnexport compare``."""

from __future__ import annotations

from pathlib import Path

import click

from attnexport.cli.console import debug_option, out, report_errors, show_notes
from attnexport.cli.options import PATH, OutputPath
from attnexport.cli.reports import check_reports
from attnexport.files.kinds import HTML, JSON, MARKDOWN


@click.command(name="compare")
@click.argument("before", type=PATH)
@click.argument("after", type=PATH)
@click.option("--json", type=OutputPath(JSON, report=True), help="Write the comparison here too, or - for stdout.")
@click.option("--markdown", type=OutputPath(MARKDOWN, report=True), help="As Markdown, for a pull request.")
@click.option("--html", type=OutputPath(HTML, report=True), help="As one HTML page.")
@debug_option
@report_errors
def command(before: Path, after: Path, json: Path | None, markdown: Path | None, html: Path | None) -> None:
    """Show what became better or worse between two runs of check.

    BEFORE and AFTER are what check --json wrote. Contenders are matched by name, else by the file's name, and where
    each run has exactly one by that. A figure that changed by less than a tenth counts as the same.

    Exit codes: 0 nothing that passed now fails, 1 something does, 2 unusable input.
    """
    from attnexport.accuracy.comparing.compare import compare
    from attnexport.accuracy.reports.comparison.saving import save_comparison
    from attnexport.accuracy.reports.comparison.terminal import shown, verdict

    wanted = {"json": json, "markdown": markdown, "html": html}
    paths = {name: path for name, path in wanted.items() if path is not None}
    check_reports(paths, before, after)
    found = compare(before, after)
    for part in shown(found):
        out().print(part)
    show_notes(found.notes)
    for name, path in paths.items():
        save_comparison(found, path, name)
    out().conclude(verdict(found))
    if not found.passed:
        raise SystemExit(1)
