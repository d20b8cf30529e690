"""A model that keeps state, step by step in ONNX Runtime: its cache is an input and an output of the file.

python samples/streaming.py FOLDER writes streaming.onnx there and holds six calls to the live module's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

import attnexport

WIDTH, TOKENS = 32, 16


class Streaming(nn.Module):
    """Attention over the last TOKENS tokens, of which it keeps what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attention = attnexport.TopNAttention(WIDTH, 4, 8)
        self.register_buffer("seen", torch.zeros(1, TOKENS, WIDTH))

    def forward(self, token: Tensor) -> Tensor:  # token (1, 1, WIDTH)
        self.seen.copy_(torch.cat([self.seen[:, 1:], token], 1))
        return self.attention(self.seen)[:, -1]


def main(folder: Path) -> float:
    """The largest difference between the file's outputs and the module's in six calls one after another."""
    model, tokens = Streaming().eval(), torch.randn(6, 1, 1, WIDTH, generator=torch.Generator().manual_seed(1))
    path = folder / "streaming.onnx"
    attnexport.convert(model, (tokens[0],), path, state="io")
    session = onnxruntime.InferenceSession(path)
    seen, largest = np.zeros((1, TOKENS, WIDTH), np.float32), 0.0
    for token in tokens:
        output, seen = session.run(["output", "seen_next"], {"token": token.numpy(), "seen": seen})
        with torch.no_grad():
            largest = max(largest, float(np.abs(output - model(token).numpy()).max()))
    return largest


if __name__ == "__main__":
    print(f"largest difference in six calls: {main(Path(sys.argv[1])):.2e}")
