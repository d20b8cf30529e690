"""A check's report as a table for people and as JSON for programs."""

from __future__ import annotations

import math
from typing import Any

from rich.table import Table
from rich.text import Text

from attnexport.accuracy.check import CheckReport, OutputResult


def _verdict(output: OutputResult) -> Text:
    return Text("within", "green") if output.passed else Text("OUTSIDE", "red")


def table(report: CheckReport) -> Table:
    """Errors per output against the float64 reference, beside PyTorch's own and the budget."""
    shown = Table(title="Errors against the float64 reference", title_justify="left")
    for heading in ("output", "dtype"):
        shown.add_column(heading)
    for heading in ("relative L2", "largest error", "PyTorch's own", "allowed", "cosine"):
        shown.add_column(heading, justify="right")
    shown.add_column("budget")
    for output in report.outputs:
        if output.budget is None:
            row = ["", f"{output.mismatches} differ", "", "0 differ", ""]
        else:
            row = [
                f"{output.relative_l2:.2e}",
                f"{output.largest_error:.2e}",
                f"{output.budget.torch_error:.2e}",
                f"{output.budget.limit:.2e}",
                f"{output.cosine:.9f}",
            ]
        shown.add_row(output.name, output.dtype, *row, _verdict(output))
    return shown


def task_line(report: CheckReport) -> str:
    """Predictions in one line, empty when none were compared."""
    task = report.task
    if task is None:
        return ""
    line = f"predictions ({task.output}): {task.agreement:.2%} of {task.predictions} agree"
    if task.accuracy_torch is not None and task.accuracy_file is not None:
        line += f"; accuracy {task.accuracy_torch:.2%} in PyTorch, {task.accuracy_file:.2%} in the file"
    return line


def as_json(report: CheckReport) -> dict[str, Any]:
    """The report in plain types; numbers that are not finite become strings."""
    task = report.task
    return {
        "passed": report.passed,
        "batches": report.batches,
        "outputs": [
            {
                "name": output.name,
                "dtype": output.dtype,
                "passed": output.passed,
                "relative_l2": _number(output.relative_l2),
                "largest_error": _number(output.largest_error),
                "cosine": _number(output.cosine),
                "torch_error": None if output.budget is None else _number(output.budget.torch_error),
                "allowed": None if output.budget is None else _number(output.budget.limit),
                "mismatches": output.mismatches,
                "not_finite": output.not_finite,
                "failure": output.failure,
            }
            for output in report.outputs
        ],
        "task": None
        if task is None
        else {
            "output": task.output,
            "predictions": task.predictions,
            "agreement": task.agreement,
            "accuracy_torch": task.accuracy_torch,
            "accuracy_file": task.accuracy_file,
        },
        "notes": list(report.notes),
    }


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
