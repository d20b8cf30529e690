"""Runs ModelOpt in a process of its own, for it alters ONNX Runtime's calibration: ``main(FOLDER)``.

FOLDER holds request.json and the file to quantize, and gets answer.json and the file that each job makes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from attnexport.backends import Arrays
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.calibration.batches import batches, finite_values
from attnexport.calibration.observing import BATCH
from attnexport.errors import BRIEF, AttnexportError, first_line
from attnexport.files.typed_json import read_json, typed

REQUEST, ANSWER = "request.json", "answer.json"
_OPERATORS = ("MatMul", "Gemm", "Conv")


@dataclass(frozen=True)
class Job:
    """What one run of ModelOpt quantizes.

    Attributes:
        nodes: names of nodes of the file.
        block: how many weights share a scale; None for a scale for each output.
        output: name of the file that is made.
    """

    nodes: tuple[str, ...]
    block: int | None
    output: str


@dataclass(frozen=True)
class Request:
    """What is asked of the process.

    Attributes:
        source: name of the file to quantize.
        mode: int8, fp8 or int4, as ModelOpt calls it.
        method: max, entropy, rtn_dq or awq_clip, as ModelOpt calls it.
        data: absolute paths of .npz files; none for a method that runs none.
        samples: how many of their rows to run; None for all.
        jobs: the runs of ModelOpt.
    """

    source: str
    mode: str
    method: str
    data: tuple[str, ...]
    samples: int | None
    jobs: tuple[Job, ...]


def main(folder: Path) -> None:
    """Answers the request in the folder: how many samples ran, or what went wrong."""
    request: Request = typed(Request, read_json(folder / REQUEST))
    answer: dict[str, Any]
    try:
        answer = {"samples": _quantize(request, folder)}
    except AttnexportError as error:
        answer = {"refused": str(error)}
    except Exception as error:
        answer = {"failure": f"{type(error).__name__}: {first_line(error, BRIEF)}"}
    (folder / ANSWER).write_text(json.dumps(answer))


def _quantize(request: Request, folder: Path) -> int:
    reader = _Reader(folder / request.source, [Path(file) for file in request.data], request.samples)
    if request.data and next(iter(reader), None) is None:
        return 0
    _leave_out_extension()
    from modelopt.onnx.quantization import quantize

    for job in request.jobs:
        reader.rewind()
        quantize(
            str(folder / request.source),
            quantize_mode=request.mode,
            calibration_method=request.method,
            calibration_data_reader=reader if request.data else None,
            calibration_eps=["cpu"],
            high_precision_dtype="fp32",
            output_path=str(folder / job.output),
            log_level="WARNING",
            **_nodes_of(job),
        )
    return reader.samples


def _leave_out_extension() -> None:
    """Keeps ModelOpt from compiling C++ into the folder where it is installed; NumPy does the same."""
    absent: Any = ModuleType("modelopt.onnx.quantization.extensions")
    absent.round_and_pack_ext = None
    sys.modules[absent.__name__] = absent


def _nodes_of(job: Job) -> dict[str, Any]:
    """The job's nodes, by patterns that ModelOpt matches names with from their beginning."""
    names = "|".join(job.nodes)
    if job.block is not None:
        return {"block_size": job.block, "nodes_to_exclude": [f"(?!(?:{names})$)"]}
    return {"nodes_to_quantize": [f"(?:{names})$"], "op_types_to_quantize": list(_OPERATORS)}


class _Reader:
    """The data as ModelOpt reads it, batch by batch.

    Attributes:
        samples: how many rows the readings that came to the end had.
    """

    def __init__(self, source: Path, data: Sequence[Path], limit: int | None) -> None:
        self._inputs, self._data, self._limit = OnnxRuntimeBackend(source).inputs, data, limit
        self.samples = 0
        self.rewind()

    def rewind(self) -> None:
        """Begins again."""
        self._reading = iter(self)

    def get_first(self) -> Arrays:
        """The first batch, which there must be."""
        return next(iter(self))

    def get_next(self) -> Arrays | None:
        """The next batch, or None behind the last."""
        return next(self._reading, None)

    def __iter__(self) -> Iterator[Arrays]:
        rows = 0
        for batch in batches(self._inputs, self._data, size=BATCH, limit=self._limit):
            for name, array in batch.arrays.items():
                if array.dtype.kind == "f":
                    finite_values(name, array, batch.source)
            rows += batch.rows
            yield batch.arrays
        self.samples = rows
