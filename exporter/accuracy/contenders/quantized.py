"""Opens quantized files and engines built from them, each beside the plain file that proves its graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from attnexport.accuracy.contenders.contenders import BackendContender, Contender
from attnexport.accuracy.contenders.facts import ContenderFacts, Failure
from attnexport.accuracy.contenders.opening import Opener
from attnexport.accuracy.contenders.quantized_files import QuantizedFile, take_apart
from attnexport.accuracy.contenders.texts import ENGINE, ORT, ORT_CUDA, ContenderText
from attnexport.accuracy.contenders.torch_runs import Quantized
from attnexport.accuracy.inputs.files import Batch
from attnexport.accuracy.inputs.sizes import Profiles
from attnexport.engines.manifest_json import read_manifest
from attnexport.engines.opening import open_backend
from attnexport.errors import InputError
from attnexport.files.outputs import sha256
from attnexport.graph.file_precision import precision_of
from attnexport.graph.inspection import read_model
from attnexport.graph.quantization import check_is_qdq, quantized_precision
from attnexport.messages import option
from attnexport.models.model import Model
from attnexport.models.precisions import PRECISIONS


@dataclass(frozen=True)
class Opened:
    """A contender beside what names it.

    Attributes:
        text: as it was written; of a plain file, as it would have to be.
        contender: ready to run.
    """

    text: ContenderText
    contender: Contender


def open_all(opener: Opener, contenders: Sequence[ContenderText], scratch: Path) -> list[Opened]:
    """The contenders, ready to run; before a quantized one its plain file, which is held to its floating precision.

    With a precision that the user chose, quantized files are contenders like all others. Files that are made go to the
    folder ``scratch``, which must last as long as the contenders.

    Raises:
        InputError: no such file, inputs and outputs that are not the model's, integer operators in place of Q/DQ nodes,
            an engine of a quantized file that is not beside it.
        BackendError: a backend refuses a file.
    """
    opened = []
    for number, contender in enumerate(contenders):
        source = None if opener.precision is not None else _quantized_file(contender)
        parts = None if source is None else take_apart(source, opener.runs.model, scratch / str(number))
        if parts is None:
            opened.append(Opened(contender, opener.open(contender)))
        else:
            opened += _with_plain(opener, contender, str(source), parts)
    return opened


def profiles_of(opened: Sequence[Opened]) -> list[Profiles]:
    """The shapes that each engine takes, by input."""
    return [one.contender.profiles for one in opened if isinstance(one.contender, BackendContender)]


def _quantized_file(contender: ContenderText) -> Path | None:
    """The ONNX file whose Q/DQ nodes say how a contender rounds; None for one that does not."""
    path = contender.path
    if contender.kind in (ORT, ORT_CUDA) and path is not None and path.is_file():
        model = read_model(path)
        check_is_qdq(model, str(path))
        return path if quantized_precision(model) is not None else None
    if contender.kind != ENGINE or path is None:
        return None
    manifest = read_manifest(path)
    if manifest.precision in PRECISIONS:
        return None
    source = path.parent / Path(manifest.model.file).name
    if not source.is_file() or sha256(source) != manifest.model.sha256:
        raise InputError(
            f"{path}: precision {manifest.precision}: expected {source.name}, from which it was built, beside it, or "
            f"{option('--precision')}"
        )
    return source


def _with_plain(opener: Opener, contender: ContenderText, source: str, parts: QuantizedFile) -> list[Opened]:
    plain = ContenderText(f"{contender.text} without Q/DQ", ORT, str(parts.plain))
    itself = replace(opener, precision=parts.precision, precision_source="its Q/DQ nodes").open(contender)
    itself.precision = opener.runs.hold_to_quantized(parts.precision, _yardstick(parts, opener.runs.model))
    itself.failures = (*itself.failures, *(_failure(contender, fault.name, fault.what) for fault in parts.faults))
    without = opener.open(plain)
    without.facts = replace(without.facts, path=source)
    return [Opened(plain, without), Opened(contender, itself)]


def _yardstick(parts: QuantizedFile, model: Model) -> Quantized:
    """PyTorch with the fake quantization: the file with the model's own weights; the plain file proves its graph."""
    backend = open_backend(parts.yardstick)
    contender = BackendContender(ContenderFacts("yardstick", backend.description, "", ""), backend, model)

    def run(tensors: Sequence[Tensor]) -> list[Tensor]:
        outputs = contender.outputs(Batch("yardstick", tuple(tensors)))
        return [torch.from_numpy(array) for array in outputs.values()]

    return Quantized(sha256(parts.yardstick), PRECISIONS[precision_of(read_model(parts.plain))], run)


def _failure(contender: ContenderText, weight: str, what: str) -> Failure:
    return Failure(
        contender=contender.text,
        where=f"weight {weight}",
        what="is not the model's weight, rounded: it",
        amount=what,
        advice="quantize the file again from the one that convert wrote",
    )
