"""Causal character models of six layers of width 192; the blocks are those of the smaller language sample.

The functions krause(), affine() and hla() build the untrained models, for
``attnexport convert samples/code/hla.safetensors --model samples.code.model:hla``.
"""

from __future__ import annotations

from samples.language.model import VARIANTS as ATTENTION
from samples.language.model import CharacterModel

DIM, HEADS, DEPTH = 192, 6, 6
VARIANTS = ("krause", "affine", "hla")


def build(variant: str) -> CharacterModel:
    """The untrained model of one of VARIANTS."""
    return CharacterModel(ATTENTION[variant], dim=DIM, heads=HEADS, depth=DEPTH)


def krause() -> CharacterModel:
    """Krause attention over the last 32 characters."""
    return build("krause")


def affine() -> CharacterModel:
    """Causal affine-scaled attention."""
    return build("affine")


def hla() -> CharacterModel:
    """Causal Hadamard linear attention with two kernel factors of eight features."""
    return build("hla")
