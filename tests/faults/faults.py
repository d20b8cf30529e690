"""The faults: what each does to the converted model of models.faultless, and which layer is at fault."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx_ir as ir

import attnexport
from tests.faults import edits
from tests.faults.models import faultless

Plant = Callable[[ir.Model, str], None]
Planted = TypeVar("Planted", bound=Plant)


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: what is wrong, in words.
        layer: path of the module that is at fault; empty when the whole file is.
        edit: makes it in a file, given the layer.
    """

    name: str
    layer: str
    edit: Plant

    def plant(self, model: ir.Model) -> None:
        """Makes it in a file, in place."""
        self.edit(model, self.layer)


FAULTS: list[Fault] = []
"""In the order below; the first twelve are the least that the gate must catch."""


def _fault(name: str, layer: str) -> Callable[[Planted], Planted]:
    def add(edit: Planted) -> Planted:
        FAULTS.append(Fault(name, layer, edit))
        return edit

    return add


@_fault("a perturbed weight", "blocks.1.attention.v_proj")
def perturb(model: ir.Model, layer: str, amount: float = 0.01) -> None:
    """Adds the amount to one of 256 weights, which are below 0.25."""

    def change(weight: np.ndarray) -> np.ndarray:
        weight[1, 2] += amount
        return weight

    edits.change_weight(model, layer, change)


@_fault("swapped heads", "blocks.4.attention")
def _(model: ir.Model, layer: str) -> None:
    edits.insert(model, edits.attention_of(model, layer), 2, "Gather", np.array([1, 0]), axis=1)


@_fault("a window off by one", "blocks.1.attention")
def _(model: ir.Model, layer: str) -> None:
    edits.change_attributes(model, layer, window=5)


@_fault("a mask that leaks the next token", "blocks.4.attention")
def _(model: ir.Model, layer: str) -> None:
    edits.see_one_more(model, layer)


@_fault("a wrong sigma", "blocks.0.attention")
def _(model: ir.Model, layer: str) -> None:
    edits.change_constant(model, edits.attention_of(model, layer), 3, lambda sigma: sigma * 1.02)


@_fault("k + 1 in place of k", "blocks.5.attention")
def _(model: ir.Model, layer: str) -> None:
    edits.change_attributes(model, layer, n=5)


@_fault("a transposed grid", "blocks.0.attention")
def _(model: ir.Model, layer: str) -> None:
    edits.change_attributes(model, layer, grid_height=4, grid_width=3)


@_fault("overflow in half precision", "blocks.3.mlp.0")
def _(model: ir.Model, layer: str) -> None:
    edits.through_half(model, layer)


@_fault("lengths of the step before", "blocks.2.attention")
def _(model: ir.Model, layer: str) -> None:
    node = edits.attention_of(model, layer)
    edits.insert(model, node, len(node.inputs) - 1, "Sub", np.array(1, np.int32))


@_fault("eps dropped", "blocks.2.attention")
def _(model: ir.Model, layer: str) -> None:
    edits.change_attributes(model, layer, eps=0.0)


@_fault("one NaN among the weights", "blocks.5.mlp.2")
def _(model: ir.Model, layer: str) -> None:
    perturb(model, layer, np.nan)


@_fault("another seed's weights", "")
def _(model: ir.Model, layer: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "other.onnx"
        attnexport.convert(faultless(seed=1), None, path)
        edits.take_weights(model, ir.load(path))


@_fault("a lost bias", "blocks.2.attention.out_proj")
def _(model: ir.Model, layer: str) -> None:
    (add,) = edits.nodes_of(model, layer, "Add")
    edits.change_constant(model, add, 1, np.zeros_like)


@_fault("a wrong coupling", "blocks.3.attention")
def _(model: ir.Model, layer: str) -> None:
    edits.change_constant(model, edits.attention_of(model, layer), 4, lambda coupling: coupling * 0.9)


@_fault("alpha and beta swapped", "blocks.4.attention")
def _(model: ir.Model, layer: str) -> None:
    edits.swap_inputs(edits.attention_of(model, layer), 3, 4)


@_fault("a lost residual", "blocks.3")
def _(model: ir.Model, layer: str) -> None:
    first, _ = edits.nodes_of(model, layer, "Add")
    edits.insert(model, first, 0, "Mul", np.array(0, np.float32))


@_fault("another epsilon in a norm", "blocks.2.attention_norm")
def _(model: ir.Model, layer: str) -> None:
    (norm,) = edits.nodes_of(model, layer, "LayerNormalization")
    norm.attributes["epsilon"] = ir.AttrFloat32("epsilon", 1e-2)


@_fault("weights rounded to 8 bits", "blocks.4.mlp.0")
def _(model: ir.Model, layer: str) -> None:
    def rounded(weight: np.ndarray) -> np.ndarray:
        step = np.abs(weight).max() / 127
        return np.round(weight / step) * step

    edits.change_weight(model, layer, rounded)


@_fault("no renormalising", "blocks.5.attention")
def _(model: ir.Model, layer: str) -> None:
    edits.change_attributes(model, layer, renormalize=0)


@_fault("causal dropped", "blocks.1.attention")
def _(model: ir.Model, layer: str) -> None:
    edits.change_attributes(model, layer, causal=0)
