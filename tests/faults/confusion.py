"""Runs the gate over faulty and faultless files and counts what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir
from torch.export import ExportedProgram

import attnexport
from tests.faults.faults import Fault, perturb
from tests.faults.gate import Verdict, judge
from tests.faults.models import faultless, random_model

MODELS = 20


@dataclass(frozen=True)
class Case:
    """One file that was judged.

    Attributes:
        name: of the fault, or of the faultless model.
        fault: what was planted, None for a faultless model.
        verdict: what the gate said.
    """

    name: str
    fault: Fault | None
    verdict: Verdict

    @property
    def named(self) -> str:
        """The module that the gate named."""
        guilty = self.verdict.guilty
        return "" if guilty is None else guilty.layer or "the model itself"

    @property
    def right(self) -> bool:
        """Whether a fault was caught and its layer named, or nothing was said of a faultless model."""
        if self.fault is None:
            return self.verdict.passed and self.verdict.guilty is None
        return not self.verdict.passed and bool(self.named) and self.fault.layer in ("", self.named)


@dataclass(frozen=True)
class Converted:
    """The model that faults are planted into, and its file.

    Attributes:
        program: the model.
        path: the file; faulty ones are written beside it.
    """

    program: ExportedProgram
    path: Path

    def judge_with(self, plant: Callable[[ir.Model], None]) -> Verdict:
        """What the gate says of the file with something planted into it."""
        model = ir.load(self.path)
        plant(model)
        faulty = self.path.with_name("faulty.onnx")
        ir.save(model, faulty)
        return judge(self.program, faulty, "normal")


def converted(folder: Path, *, synchronizing: bool = True) -> Converted:
    """Converts the model of models.faultless into the folder."""
    program = faultless(synchronizing=synchronizing)
    attnexport.convert(program, None, folder / "faultless.onnx")
    return Converted(program, folder / "faultless.onnx")


def faulty_case(base: Converted, fault: Fault) -> Case:
    """The file with one fault."""
    return Case(fault.name, fault, base.judge_with(fault.plant))


def faultless_case(folder: Path, number: int) -> Case:
    """A random model without a fault, on every kind of inputs."""
    model = random_model(number)
    attnexport.convert(model.program, None, folder / "random.onnx", opset=model.opset, nodes=model.nodes)
    return Case(model.description, None, judge(model.program, folder / "random.onnx"))


def smallest_caught(base: Converted) -> float:
    """The smallest power of ten that is caught when it is added to one weight; 1 when none is."""
    for exponent in range(1, 8):
        amount = 10.0**-exponent
        if base.judge_with(lambda model, amount=amount: perturb(model, "blocks.1.attention.v_proj", amount)).passed:
            break
    return 10.0 ** (1 - exponent)
