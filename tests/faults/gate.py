"""The gate as ``attnexport check --bisect`` runs it, on a file in ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch.export import ExportedProgram

from attnexport.accuracy.check.check import check
from attnexport.accuracy.check.findings import LayerError
from attnexport.accuracy.contenders.contenders import BackendContender
from attnexport.accuracy.contenders.facts import ContenderFacts
from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.accuracy.diagnosis.bisect.search import bisect
from attnexport.accuracy.inputs.generated import chosen_kinds, generated_inputs
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.graph.file_precision import found_precision
from attnexport.graph.inspection import read_model
from attnexport.models.model import Model


@dataclass(frozen=True)
class Verdict:
    """What the gate said of a file.

    Attributes:
        passed: whether every output was within its budget.
        share: of the budget that the worst output used.
        guilty: the first tensor outside its budget, or None.
    """

    passed: bool
    share: float
    guilty: LayerError | None


def judge(program: ExportedProgram, path: Path, kinds: str | None = None) -> Verdict:
    """Checks the file on generated inputs, and bisects it on the kind of inputs that used most of the budget.

    Args:
        program: the model.
        path: the ONNX file.
        kinds: of inputs. Default: None, all.
    """
    runs, backend = TorchRuns(Model(program)), OnnxRuntimeBackend(path)
    held = found_precision(read_model(path))
    facts = ContenderFacts(str(path), backend.description, held.name, held.source, str(path))
    contender = BackendContender(facts, backend, runs.model)
    report = check(runs, [contender], generated_inputs(runs.model, chosen_kinds(kinds), seeds=1))
    (result,) = report.contenders
    worst = max((output.worst_kind for output in result.outputs), key=lambda kind: kind.share)
    batch = next(iter(generated_inputs(runs.model, chosen_kinds(worst.kind), seeds=1)))
    found = bisect(runs.model, path, batch, OnnxRuntimeBackend, precision=held.name)
    return Verdict(report.passed, worst.share, found.guilty)
