"""Converts and checks every sample and says how far each is off: python samples/demo.py OUTPUT_FOLDER."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import attnexport

SAMPLES = Path(__file__).parent


def convert_and_check(model: Path, output: Path) -> tuple[attnexport.Conversion, attnexport.CheckReport]:
    """One sample, with the test data beside it."""
    loaded = attnexport.load_model(model)
    conversion = attnexport.convert(loaded, None, output)
    return conversion, attnexport.check(loaded, [output], data=model.parent / "test.npz")


def main(folder: Path) -> int:
    """Returns the exit code: 1 when a sample is outside its error budget."""
    folder.mkdir(parents=True, exist_ok=True)
    passed = True
    for model in sorted(SAMPLES.glob("*/*.pt2")):
        name = f"{model.parent.name}/{model.stem}"
        conversion, report = convert_and_check(model, folder / f"{model.parent.name}-{model.stem}.onnx")
        passed &= report.passed
        nodes = ", ".join(f"{count} {op_type}" for op_type, count in conversion.variants.items())
        print(f"{name}: wrote {conversion.path}, {nodes}, ran at {len(conversion.verified)} shapes")
        print(f"    {', '.join(figures(report))}")
    return 0 if passed else 1


def figures(report: attnexport.CheckReport) -> Iterator[str]:
    """The error, what is allowed, and accuracies."""
    (checked,) = report.contenders
    worst, task = checked.outputs[0].worst_kind, checked.predictions
    yield f"largest error {worst.largest_error:.1e}"
    if worst.budget is not None:
        yield f"allowed {worst.budget.limit:.1e}"
    if task is not None and task.accuracy_reference is not None and task.accuracy_contender is not None:
        yield f"accuracy {task.accuracy_contender:.2%}, in PyTorch {task.accuracy_reference:.2%}"
    yield "within its budget" if checked.passed else "OUTSIDE ITS BUDGET"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
