"""Text as tokens, rows of it, and how well a model predicts the next character."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from samples.language.model import VOCABULARY


def encode(text: str) -> Tensor:
    """Tokens (characters,) int64 of a text: see VOCABULARY."""
    codes = torch.tensor([ord(character) for character in text])
    printable = (codes >= 32) & (codes < 127)
    return torch.where(printable, codes - 31, torch.where(codes == 10, VOCABULARY - 1, 0))


def spread_rows(tokens: Tensor, count: int, length: int) -> tuple[Tensor, Tensor]:
    """Evenly spread rows of tokens (characters,) and the characters that follow, both (count, length)."""
    starts = torch.linspace(0, len(tokens) - length - 1, count).long()
    rows = tokens[starts[:, None] + torch.arange(length + 1)]
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def evaluate(model: nn.Module, tokens: Tensor, labels: Tensor) -> tuple[float, float]:
    """Next-character accuracy and bits per character over tokens and labels (B, N)."""
    with torch.no_grad():
        logits = model.eval()(tokens)
    bits = F.cross_entropy(logits.flatten(0, 1), labels.flatten()).item() / math.log(2)
    return float((logits.argmax(-1) == labels).double().mean()), bits


def next_character_loss(model: nn.Module, tokens: Tensor, starts: Tensor, *, length: int) -> Tensor:
    """Cross entropy of the rows of tokens (characters,) that begin at starts (B, 1), each ``length`` long."""
    rows = tokens[starts + torch.arange(length + 1, device=tokens.device)]
    return F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
