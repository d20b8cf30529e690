"""A model whose file has a weight behind a Transpose: a head that is the embedding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch

import attnexport

TOKENS, WIDTH = 256, 64
"""Large enough that convert does not fold the head's Transpose."""
HEAD = "node_linear_2"


class Tied(torch.nn.Module):
    """A head that is the embedding, and a layer that is applied twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.layer = torch.nn.Embedding(TOKENS, WIDTH), torch.nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """tokens (B, N) to logits (B, N, TOKENS)."""
        x = self.layer(torch.tanh(self.layer(self.embedding(tokens))))
        return torch.nn.functional.linear(x, self.embedding.weight)


def save_tied(path: Path) -> tuple[Path, Path]:
    """The file, and an .npz of tokens (2, 6) beside it."""
    torch.manual_seed(0)
    tokens = torch.arange(12).reshape(2, 6)
    attnexport.convert(Tied(), (tokens,), path)
    assert "Transpose" in {node.op_type for node in onnx.load(path).graph.node}
    data = path.with_suffix(".npz")
    np.savez(data, tokens=tokens.numpy())
    return path, data
