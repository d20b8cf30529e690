"""What a patch did, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

from attnexport.display.columns import Column, Importance, Kind
from attnexport.display.tables import Table
from attnexport.display.terminal import Terminal
from attnexport.messages import count

_COLUMNS = (
    Column("layer", importance=Importance.NAMES_THE_ROW),
    Column("was", importance=Importance.MUCH),
    Column("is", importance=Importance.MUCH),
    Column("added", Kind.NUMBER),
)


@dataclass(frozen=True)
class PatchedLayer:
    """A layer that was patched.

    Attributes:
        layer: its path in the model.
        was: its class before.
        core: class of what attends in it now.
        added: names of its new parameters and buffers, with their shapes.
    """

    layer: str
    was: str
    core: str
    added: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class RefusedLayer:
    """An attention layer that is as it was.

    Attributes:
        layer: its path in the model.
        is_a: its class.
        reason: why.
    """

    layer: str
    is_a: str
    reason: str


@dataclass(frozen=True)
class PatchReport:
    """What :func:`attnexport.patch` did.

    Attributes:
        variant: name of the variant.
        options: that it was given.
        layers: those that were patched, in the model's order.
        refused: attention layers that stayed, with the reasons.
        neutral_error: how far the model with the variant's neutral setting is from the original in float64, as a share
            of the largest output; None where that was not measured.
        no_neutral: why the variant has no neutral setting; empty where it has one.
    """

    variant: str
    options: dict[str, object]
    layers: tuple[PatchedLayer, ...]
    refused: tuple[RefusedLayer, ...] = ()
    neutral_error: float | None = None
    no_neutral: str = ""

    def __str__(self) -> str:
        """A table of the layers, those that stayed with their reasons, and the proof."""
        table = Table(f"Patched with {self.call}", _COLUMNS)
        for each in self.layers:
            added = ", ".join(f"{name} {'x'.join(map(str, shape)) or '1'}" for name, shape in each.added.items())
            table.add(each.layer, each.was, each.core, added or "nothing")
        lines = list(table.lines(Terminal(width=100)))
        lines += [f"left as it was: {each.layer} ({each.is_a}): {each.reason}" for each in self.refused]
        return "\n".join([*lines, f"neutral setting: {self.proof}"])

    @property
    def call(self) -> str:
        """The variant with its options, as ``name(option=value)``."""
        return f"{self.variant}({', '.join(f'{name}={value}' for name, value in self.options.items())})"

    @property
    def proof(self) -> str:
        """The proof in words."""
        if self.no_neutral:
            return f"none: {self.no_neutral}"
        if self.neutral_error is None:
            return "not run"
        return f"{self.neutral_error:.1e} of the largest output off the original, in float64"

    @property
    def told(self) -> str:
        """One line, for the metadata of a file."""
        return f"{self.call} in {count(len(self.layers), 'layer')}; neutral setting: {self.proof}"
