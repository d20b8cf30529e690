"""Contenders as the command line names them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from attnexport.engines.names import ENGINE_SUFFIXES, check_engine_files
from attnexport.errors import InputError, did_you_mean
from attnexport.graph.onnx_file import check_onnx_file
from attnexport.models.precision_names import named_precision

TORCH, ORT, ORT_CUDA, ENGINE, RECORDED = "torch", "ort", "ort-cuda", "engine", "recorded"
_KINDS = (TORCH, ORT, ORT_CUDA, ENGINE, RECORDED)


@dataclass(frozen=True)
class ContenderText:
    """A contender as it was written.

    Attributes:
        text: all of it.
        kind: torch, ort, ort-cuda, engine or recorded.
        argument: the file or folder; for torch the precision.
    """

    text: str
    kind: str
    argument: str

    @property
    def device(self) -> str:
        """Where ONNX Runtime runs it, cpu or cuda."""
        return "cuda" if self.kind == ORT_CUDA else "cpu"

    @property
    def path(self) -> Path | None:
        """The file or folder, None for torch."""
        return None if self.kind == TORCH else Path(self.argument)

    def check(self) -> None:
        """Refuses a file that is not there, or that is of no kind.

        Raises:
            InputError: naming it, or what should stand before the colon.
        """
        path = self.path
        if path is None or (self.kind == RECORDED and path.exists()):
            return
        if path.is_file():
            self._check_file(path)
            return
        before, colon, _ = self.text.partition(":")
        near = did_you_mean(f"{before}:", [f"{kind}:" for kind in _KINDS]) if colon and before != self.kind else ""
        raise InputError(f"{path}: no such file{' or folder' if self.kind == RECORDED else ''}{near}")

    def _check_file(self, path: Path) -> None:
        """Refuses a file whose name and first bytes say that it is something else."""
        if self.text == self.argument and self.kind == ORT and path.suffix != ".onnx":
            engine = f"an engine ({', '.join(ENGINE_SUFFIXES)})"
            raise InputError(
                f"{path}: expected an ONNX model (.onnx), {engine}, recorded outputs (an .npz or a folder) or "
                f"torch:fp16; {ORT}:{path} takes a file of any name for ONNX"
            )
        if self.kind in (ORT, ORT_CUDA):
            check_onnx_file(path)
        elif self.kind == ENGINE:
            check_engine_files(path)


def parse_contender(text: str) -> ContenderText:
    """Reads ``torch:fp16``, ``ort-cuda:FILE.onnx`` and the like, or a path, whose name says what it is.

    An .engine, .plan or .trt is an engine, an .npz or a folder recorded outputs, any other file is ONNX.

    Raises:
        InputError: torch at a precision that does not exist.
    """
    kind, colon, argument = text.partition(":")
    if not colon or kind not in _KINDS:
        return ContenderText(text, _kind_of(Path(text)), text)
    if kind == TORCH:
        argument = named_precision(text, argument)
        text = f"{kind}:{argument}"
    return ContenderText(text, kind, argument)


def _kind_of(path: Path) -> str:
    if path.is_dir() or path.suffix == ".npz":
        return RECORDED
    return ENGINE if path.suffix in ENGINE_SUFFIXES else ORT
