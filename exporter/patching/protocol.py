"""What a library's file has to tell of its attention layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import nn

from attnexport.errors import InputError
from attnexport.variants.core import AttentionCore, Site

CORE = "variant"
"""What a patched layer calls its core: a submodule of this name."""


@dataclass(frozen=True)
class Replacement:
    """An attention layer that can be patched.

    Attributes:
        site: what the core is made for.
        patched: class of the layer when it is patched, derived from the class that it is of now. Its forward calls
            the submodule CORE.
        dropout: of the attention weights, in training.
    """

    site: Site
    patched: type[nn.Module]
    dropout: float


class Recogniser(Protocol):
    """A library's file.

    Attributes:
        library: the first part of the names of its modules, as ``torch``.
    """

    library: str

    def recognise(self, module: nn.Module) -> Replacement | str | None:
        """How a module is patched, why it cannot be, or None where it is no attention layer."""

    def prepare(self, model: nn.Module) -> None:
        """Makes the model ready when its layers are patched."""

    def restore(self, model: nn.Module) -> None:
        """Undoes what prepare did."""


def core_of(layer: nn.Module) -> AttentionCore:
    """The core of a patched layer."""
    core = layer._modules[CORE]
    assert isinstance(core, AttentionCore)
    return core


def refuse_dropout(layer: str, module: nn.Module, dropout: float) -> None:
    """Refuses to drop attention weights in training.

    Raises:
        InputError: the layer is in training and would.
    """
    if dropout and module.training:
        raise InputError(
            f"{layer}: attention dropout {dropout} in train mode, where no operator drops weights: call model.eval(), "
            "or set the dropout to 0"
        )


def shown(path: str) -> str:
    """What messages call the layer of this path."""
    return path or "the model itself"
