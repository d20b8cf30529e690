"""Converts and checks every sample and ends with a table: python samples/demo.py OUTPUT_FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

import attnexport
from attnexport.display.columns import Column, Importance, Kind
from attnexport.display.display import Display
from attnexport.display.progress import progress
from attnexport.display.tables import Table

SAMPLES = Path(__file__).parent

_COLUMNS = (
    Column("sample", Kind.NAME, Importance.NAMES_THE_ROW),
    Column("nodes", Kind.NAME, Importance.LITTLE),
    Column("shapes run", Kind.NUMBER, Importance.LITTLE),
    Column("relative L2", Kind.NUMBER, Importance.SOME),
    Column("largest error", Kind.NUMBER, Importance.MUCH),
    Column("allowed", Kind.NUMBER, Importance.MUCH),
    Column("accuracy torch", Kind.NUMBER, Importance.SOME),
    Column("accuracy ONNX", Kind.NUMBER, Importance.SOME),
    Column("budget", Kind.NAME, Importance.MUCH),
)


def convert_and_check(model: Path, output: Path) -> tuple[attnexport.Conversion, attnexport.CheckReport]:
    """One sample, with the test data beside it."""
    loaded = attnexport.load_model(model)
    conversion = attnexport.convert(loaded, None, output)
    return conversion, attnexport.check(loaded, [output], data=model.parent / "test.npz")


def main(folder: Path) -> int:
    """Returns the exit code: 1 when a sample is outside its error budget."""
    folder.mkdir(parents=True, exist_ok=True)
    display, table = Display(), Table("Trained samples, PyTorch to ONNX Runtime", _COLUMNS)
    passed = True
    for model in sorted(SAMPLES.glob("*/*.pt2")):
        name = f"{model.parent.name}/{model.stem}"
        with progress(f"{name}: converting and checking"):
            output = folder / f"{model.parent.name}-{model.stem}.onnx"
            conversion, report = convert_and_check(model, output)
        (checked,) = report.contenders
        result, task = checked.outputs[0].worst_kind, checked.predictions
        passed &= checked.passed
        table.add(
            name,
            ", ".join(f"{count} {op_type}" for op_type, count in conversion.variants.items()),
            str(len(conversion.verified)),
            f"{result.relative_l2:.1e}",
            f"{result.largest_error:.1e}",
            f"{result.budget.limit:.1e}" if result.budget else "",
            f"{task.accuracy_reference:.2%}" if task and task.accuracy_reference is not None else "",
            f"{task.accuracy_contender:.2%}" if task and task.accuracy_contender is not None else "",
            "within" if checked.passed else "OUTSIDE",
        )
        display.print(f"wrote {output}")
    display.print(table)
    return 0 if passed else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
