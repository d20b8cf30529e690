"""Models for tests of the command line, by name for --model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import attnexport

WIDTH, CLASSES = 16, 5
LONG_LAYER = "encoder_with_a_name_of_more_than_sixty_characters_as_generated_code_has_it"


class Small(nn.Module):
    """Two variants, a norm and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.krause = attnexport.KrauseAttention(WIDTH, 2, window=4)
        self.hla = attnexport.HadamardLinearAttention(WIDTH, 2, features=4)
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.krause(self.norm(x))
        x = x + self.hla(self.norm(x))
        return self.head(x)


class Tiny(nn.Module):
    """One variant, quick to convert."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = attnexport.TopNAttention(WIDTH, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x)


class Plain(nn.Module):
    """No variant."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


class ForeignNames(nn.Module):
    """A layer and an output of more than sixty characters, others in wide characters and beyond ASCII."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module(LONG_LAYER, attnexport.TopNAttention(WIDTH, 2, 3))
        self.add_module("出力層", nn.Linear(WIDTH, WIDTH))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.get_submodule(LONG_LAYER)(x)
        return {f"logits_of_{LONG_LAYER}": y, "出力": self.get_submodule("出力層")(y), "größe": (2 * y).sum(-1)}


class TwoInputs(nn.Module):
    """Another number of inputs than the others."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Eigenvalues(Plain):
    """Calls what ONNX lacks."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.eigvals(x @ x.mT).abs()


class BakedTokens(Plain):
    """Works at nine tokens only."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.reshape(-1, 9 * WIDTH).reshape(-1, 9, WIDTH))


def foreign_names() -> ForeignNames:
    torch.manual_seed(0)
    return ForeignNames().eval()


def small() -> nn.Module:
    torch.manual_seed(0)
    return Small().eval()


def tiny() -> nn.Module:
    torch.manual_seed(0)
    return Tiny().eval()
