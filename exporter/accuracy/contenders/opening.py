"""Contenders, opened for one model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from attnexport.accuracy.contenders.contenders import BackendContender, Contender, RecordedContender, TorchContender
from attnexport.accuracy.contenders.facts import ContenderFacts, Failure
from attnexport.accuracy.contenders.texts import ENGINE, ORT, ORT_CUDA, RECORDED, TORCH, ContenderText
from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.backends import Backend
from attnexport.engines.manifest_json import read_manifest
from attnexport.engines.opening import open_backend
from attnexport.errors import InputError
from attnexport.files.outputs import sha256
from attnexport.graph.file_precision import found_precision
from attnexport.graph.inspection import inspect, read_model
from attnexport.graph.state import read_state
from attnexport.graph.written_attributes import changed_attributes
from attnexport.messages import option
from attnexport.models.precision_names import HeldPrecision
from attnexport.models.state.choices import AS_NEEDED, IO


def state_for(contenders: Iterable[ContenderText]) -> str:
    """How a model is held beside these contenders: with every written buffer as an input where a file has such
    inputs, else with those that outputs depend on.

    Raises:
        InputError: a file that is no ONNX model.
    """
    files = (Path(contender.argument) for contender in contenders if contender.kind in (ORT, ORT_CUDA))
    return IO if any(path.is_file() and read_state(read_model(path)) for path in files) else AS_NEEDED


@dataclass(frozen=True)
class Opener:
    """Opens contenders for one model.

    Attributes:
        runs: the model in PyTorch.
        precision: of every contender, in place of what its file says. Default: None.
        precision_source: where that precision was read, in words. Default: empty, the option.
        plugins: the plugin library for engines. Default: None.
    """

    runs: TorchRuns
    precision: str | None = None
    plugins: Path | None = None
    precision_source: str = ""

    def open(self, contender: ContenderText) -> Contender:
        """The contender, ready to run.

        Raises:
            InputError: no such file, or inputs and outputs that are not the model's.
            BackendError: the backend refuses the file.
        """
        if contender.kind == TORCH:
            runtime = f"PyTorch {torch.__version__}"
            precision, source = self._precision(HeldPrecision(contender.argument, "as given"))
            facts = ContenderFacts(contender.text, runtime, precision, source)
            return TorchContender(facts, self.runs, contender.argument)
        path = Path(contender.argument)
        if contender.kind == RECORDED:
            if not path.exists():
                raise InputError(f"{path}: no such file or folder")
            precision, source = self._precision(HeldPrecision(self.runs.model.precision, "the model's own"))
            digest = sha256(path) if path.is_file() else None
            facts = ContenderFacts(contender.text, "recorded outputs", precision, source, str(path), digest)
            return RecordedContender(facts, path, self.runs.model)
        return self._from_file(contender, path)

    def _from_file(self, contender: ContenderText, path: Path) -> Contender:
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        if contender.kind == ENGINE:
            note, held = "", HeldPrecision(read_manifest(path).precision, "the engine's manifest")
        else:
            note, held = self._origin(path), found_precision(read_model(path))
        precision, source = self._precision(held)
        backend = open_backend(path, plugins=self.plugins, device=contender.device)
        self._refuse_without_state(path, backend)
        facts = ContenderFacts(contender.text, backend.description, precision, source, str(path), sha256(path))
        try:
            opened = BackendContender(facts, backend, self.runs.model)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        opened.notes = (*opened.notes, *([note] if note else []))
        if contender.kind != ENGINE:
            opened.failures = tuple(_changed_nodes(contender.text, path))
        return opened

    def _refuse_without_state(self, path: Path, backend: Backend) -> None:
        buffers = self.runs.model.state_names
        named = f"the buffer{'' if len(buffers) == 1 else 's'} {', '.join(buffers)}"
        given = len(backend.input_names)
        if buffers and given == len(self.runs.model.inputs) - len(buffers):
            raise InputError(
                f"{path}: has no input for {named}, which the model writes and its outputs depend on: convert with "
                f"{option('--state', 'io')}"
            )

    def _precision(self, held: HeldPrecision) -> tuple[str, str]:
        """Of the yardstick, and where that was read."""
        if self.precision is None:
            return held.name, held.source
        return self.precision, self.precision_source or f"as given by {option('--precision')}"

    def _origin(self, path: Path) -> str:
        """A note when the file says that it was converted from another model."""
        written_for = inspect(path).metadata.get("source_hash")
        if written_for is None or written_for == self.runs.model.source_hash:
            return ""
        return f"{path} was converted from another model, or from other weights"


def _changed_nodes(name: str, path: Path) -> Iterator[Failure]:
    """Attention nodes for which a plugin would compute something else than the body that runs here."""
    for node, differences in changed_attributes(read_model(path)).items():
        yield Failure(
            contender=name,
            where=f"node {node}",
            what="its attributes are not those that its body was written for:",
            amount=differences,
            advice="convert the model again: a plugin would compute something else than the body that ran here",
        )
