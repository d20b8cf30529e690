"""What a contender is, and what is wrong with one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ContenderFacts:
    """What was held to the reference.

    Attributes:
        name: as the user gave it.
        runtime: what ran it, in words, as ``ONNX Runtime 1.31 (CPU)``.
        precision: fp64, fp32, fp16 or bf16: of the PyTorch run that its budget comes from; or what a quantized file
            rounds to, as int8, where that run has the file's fake quantization.
        precision_source: where that was read, in words.
        path: the file or folder, or None.
        sha256: of the file, or None.
    """

    name: str
    runtime: str
    precision: str
    precision_source: str
    path: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Failure:
    """One thing that is wrong.

    Attributes:
        contender: name of the contender.
        where: the output and kind of inputs, the layer, or the metric.
        what: what is wrong there.
        amount: by how much.
        advice: what to try, an imperative.
        output: name of the output, empty where it is not about one.
        kind: the kind of inputs, empty where it is not about one.
    """

    contender: str
    where: str
    what: str
    amount: str
    advice: str
    output: str = ""
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.contender}: {self.where}: {self.what} {self.amount}; try: {self.advice}"
