"""Prints the tables of docs/faults.md: python -m tests.faults."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.faults.confusion import MODELS, Case, converted, faultless_case, faulty_case, smallest_caught
from tests.faults.faults import FAULTS


def _share(value: float) -> str:
    return "not finite" if value == float("inf") else f"{value:.2g}"


def main() -> None:
    """Judges every file and prints Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        base = converted(Path(folder))
        faulty = [faulty_case(base, fault) for fault in FAULTS]
        sound = [faultless_case(Path(folder), number) for number in range(MODELS)]
        smallest = [smallest_caught(base), smallest_caught(converted(Path(folder), synchronizing=False))]
    _print_confusion(faulty, sound)
    print("\n| planted fault | layer at fault | times the allowed error | layer named | by |\n|---|---|---:|---|---|")
    for case in faulty:
        assert case.fault is not None
        op = "" if case.verdict.guilty is None else case.verdict.guilty.op
        share = _share(case.verdict.share)
        print(f"| {case.name} | {case.fault.layer or 'all'} | {share} | {case.named or 'none'} | {op} |")
    print("\n| model without a fault | share of the budget used | said |\n|---|---:|---|")
    for case in sound:
        said = "nothing" if case.right else case.named or "outside its budget"
        print(f"| {case.name} | {_share(case.verdict.share)} | {said} |")
    _print_smallest(smallest)


def _print_smallest(smallest: Sequence[float]) -> None:
    print(f"\nAdded to one weight, {smallest[0]:.0e} is caught and a tenth of it is not.")
    print(f"Without selective synchronization in the model {smallest[1]:.0e} is caught and a tenth of it is not.")


def _print_confusion(faulty: Sequence[Case], sound: Sequence[Case]) -> None:
    caught = sum(not case.verdict.passed for case in faulty)
    alarms = sum(not case.verdict.passed for case in sound)
    layers = [case for case in faulty if case.fault is not None and case.fault.layer]
    print("| | gate fails | gate passes |\n|---|---:|---:|")
    print(f"| a fault was planted ({len(faulty)} files) | {caught} | {len(faulty) - caught} |")
    print(f"| no fault ({len(sound)} files) | {alarms} | {len(sound) - alarms} |")
    named = sum(case.right for case in layers)
    print(f"\nThe layer at fault was named in {named} of the {len(layers)} files in which one layer is at fault.")
    print(f"In {sum(case.verdict.guilty is not None for case in sound)} files without a fault a layer was named.")


if __name__ == "__main__":
    main()
