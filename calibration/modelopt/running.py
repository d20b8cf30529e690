"""Has ModelOpt quantize a copy of a file, and reads what it made of each layer."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx_ir as ir

from attnexport.accuracy.inputs.data_files import data_files
from attnexport.calibration.layers import Layer
from attnexport.calibration.modelopt.copying import name_of, write_copy
from attnexport.calibration.modelopt.reading import read_activations, read_weights
from attnexport.calibration.modelopt.worker import ANSWER, REQUEST, Job, Request
from attnexport.calibration.plans import Plan
from attnexport.calibration.ranges import Ranges
from attnexport.calibration.rewriting import Rounded, equal_block
from attnexport.calibration.schemes import Scheme
from attnexport.display.progress import Progress
from attnexport.errors import BRIEF, BackendError, InputError, ending, first_line, shortlist
from attnexport.files.outputs import sha256
from attnexport.files.staging import work_folder
from attnexport.files.typed_json import read_json
from attnexport.graph.inspection import model_sha256
from attnexport.messages import count, option

# Without the current folder, whose files must not pass for modules.
_START = (
    "import sys; sys.path[:] = filter(None, sys.path); from pathlib import Path; "
    "from attnexport.calibration.modelopt.worker import main; main(Path(sys.argv[1]))"
)
_MODES = {"int8": "int8", "fp8": "fp8", "int4-weights": "int4"}
_METHODS = {"minmax": "max", "entropy": "entropy", "awq": "awq_clip"}
_ROUND_TO_NEAREST = "rtn_dq"
_SOURCE = "model.onnx"
_WARNING = " - WARNING - "


@dataclass(frozen=True)
class Choice:
    """What ModelOpt made of a file.

    Attributes:
        plan: what was asked for, without the layers that it left.
        weights: how it rounded them, by the name of the weight.
        ranges: of activations; None where it rounds weights alone.
        notes: what a user should know.
    """

    plan: Plan
    weights: Mapping[str, Rounded]
    ranges: Ranges | None
    notes: tuple[str, ...]


def choose(
    path: Path,
    layers: Sequence[Layer],
    plan: Plan,
    scheme: Scheme,
    *,
    data: str | os.PathLike[str] | None,
    method: str,
    samples: int | None,
    progress: Progress,
) -> Choice:
    """Runs ModelOpt on the CPU, in a process of its own whose files are gone at the end.

    Args:
        path: the floating ONNX file.
        layers: all that it has.
        plan: which of them are to be quantized; ModelOpt may leave some.
        scheme: that they are to be quantized to: int8, fp8 or int4-weights.
        data: an .npz or a folder of them; None for int4-weights by minmax.
        method: minmax, entropy or awq.
        samples: how many rows of the data to run; None for all.
        progress: told what runs.

    Raises:
        InputError: layers that are not float32, data that does not fit, or no sample.
        BackendError: ModelOpt fails, quantizes nothing, or makes something else than asked.
    """
    version = importlib.metadata.version("nvidia-modelopt")
    files = [] if data is None else data_files(data)
    chosen = [layer for layer in layers if layer.name in plan.schemes]
    _check_float32(path, chosen)
    request = Request(
        source=_SOURCE,
        mode=_MODES[scheme.name],
        method=_ROUND_TO_NEAREST if scheme.block is not None and method == "minmax" else _METHODS[method],
        data=tuple(str(file.absolute()) for file in files),
        samples=samples,
        jobs=_jobs(layers, plan, scheme),
    )
    progress(f"ModelOpt quantizes to {scheme.name}", None)
    with work_folder() as folder:
        write_copy(path, folder / _SOURCE)
        answer = _ask(request, folder, version)
        if files and not answer.samples:
            raise InputError(f"{option('--data')} {data}: expected at least one sample, given none")
        outputs = [folder / job.output for job in request.jobs if (folder / job.output).is_file()]
        weights = read_weights(outputs, layers, scheme)
        tensors = {} if scheme.activations is None else read_activations(outputs, layers, scheme.activations)
    left = list(dict.fromkeys(layer.name for layer in chosen if layer.weight.name not in weights))
    if not weights:
        raise BackendError(f"ModelOpt {version}: {path}: expected quantized layers, given none")
    ranges = None
    if scheme.activations is not None:
        digests = tuple(sha256(file) for file in files)
        ranges = Ranges(model_sha256(path), digests, f"{method} by ModelOpt {version}", answer.samples, tensors)
    return Choice(_without(plan, left), weights, ranges, tuple(_notes(version, left, answer.warnings)))


def _check_float32(path: Path, layers: Sequence[Layer]) -> None:
    for layer in layers:
        if layer.weight.dtype != ir.DataType.FLOAT:
            raise InputError(
                f"{path}: layer {layer.name}: expected FLOAT for {option('--backend', 'modelopt')}, given "
                f"{layer.weight.dtype}"
            )


def _without(plan: Plan, names: Sequence[str]) -> Plan:
    """The plan with layers left as they are."""
    schemes = {name: scheme for name, scheme in plan.schemes.items() if name not in names}
    return Plan(schemes, {**plan.kept, **dict.fromkeys(names)})


def _notes(version: str, left: Sequence[str], warnings: Sequence[str]) -> Iterator[str]:
    if left:
        yield f"ModelOpt {version} left {shortlist(left)} as {'it is' if len(left) == 1 else 'they are'}"
    if warnings:
        first = "" if len(warnings) == 1 else ", the first"
        yield f"ModelOpt {version} logged {count(len(warnings), 'warning')}{first}: {first_line(warnings[0], BRIEF)}"


def _jobs(layers: Sequence[Layer], plan: Plan, scheme: Scheme) -> tuple[Job, ...]:
    """One for each size of blocks, for ModelOpt has one size a run."""
    blocks: dict[int | None, list[str]] = {}
    for position, layer in enumerate(layers):
        if layer.name in plan.schemes:
            summed = layer.weight_shape[layer.input_axis]
            block = None if scheme.block is None else equal_block(summed, scheme.block)
            blocks.setdefault(block, []).append(name_of(position))
    return tuple(Job(tuple(names), block, f"made{block or ''}.onnx") for block, names in blocks.items())


@dataclass(frozen=True)
class _Answer:
    """How many samples ran, and what was logged as a warning."""

    samples: int
    warnings: tuple[str, ...]


def _ask(request: Request, folder: Path, version: str) -> _Answer:
    (folder / REQUEST).write_text(json.dumps(asdict(request)))
    temporary = folder / "temporary"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _START, str(folder)],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    logging.getLogger(__name__).info("ModelOpt %s wrote:\n%s", version, done.stdout)
    if done.returncode != 0:
        raise BackendError(f"ModelOpt {version}: its process ended {ending(done.returncode, done.stdout)}")
    answer = read_json(folder / ANSWER)
    if "refused" in answer:
        raise InputError(answer["refused"])
    if "failure" in answer:
        raise BackendError(f"ModelOpt {version}: {answer['failure']}")
    warnings = (line.partition(_WARNING)[2] for line in done.stdout.splitlines() if _WARNING in line)
    return _Answer(answer["samples"], tuple(warnings))
