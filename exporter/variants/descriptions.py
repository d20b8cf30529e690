"""The variants in words, and what their ONNX nodes are called: what can be told of them without torch."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from dataclasses import dataclass

import attnexport.variants

ONNX_DOMAIN = "attnexport"
"""Domain of the ONNX nodes and namespace of the TensorRT plugins."""

PLUGIN_VERSION = "1"
"""Of nodes without the operands that plugins of this version know nothing of."""

MASKED_PLUGIN_VERSION = "2"
"""Of nodes with one of them. No kernel takes them yet, so that TensorRT finds no plugin and runs the body: a plugin
that passes over a mask would compute something else."""

LATER_TENSORS = ("kv_start", "bias")
"""The operands that only plugins of the later version know."""

LENGTHS = ("kv_lengths", "q_start", "kv_start")
"""Optional inputs every variant has, int32 (B,), in this order behind the others."""

OPTIONAL_TENSORS = (*LENGTHS, "bias")
"""All optional inputs, last in this order. A node with one has those before it too, at their defaults: M, M - N and 0.
New ones come behind, so that the inputs of files written before mean what they meant."""

DEFAULTS = "defaults"
"""Attribute of a node with names of inputs that are there at their defaults alone, so that its body leaves them out."""


@dataclass(frozen=True)
class Placement:
    """Where Q/DQ may stand around an attention node; what is not named stays floating, its result always.

    Attributes:
        rounded: operands, by argument name, that the kernels read through Q/DQ. Default: none.
    """

    rounded: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Description:
    """A variant in words.

    Attributes:
        name: its folder below attnexport.variants.
        title: its name in prose.
        op_type: type of its ONNX node in domain ``attnexport``.
        formula: the definition in one line.
        cost: work per head in N query rows and M key rows.
        paper: where it comes from.
        placement: where quantizers put Q/DQ. Default: around none of its operands, which stay floating.
    """

    name: str
    title: str
    op_type: str
    formula: str
    cost: str
    paper: str
    placement: Placement = Placement()


def folders() -> list[str]:
    """Names of the folders below attnexport.variants, in order."""
    return sorted(module.name for module in pkgutil.iter_modules(attnexport.variants.__path__) if module.ispkg)


@functools.cache
def descriptions() -> tuple[Description, ...]:
    """Of every variant, in the order of the folder names."""
    found = (getattr(importlib.import_module(f"attnexport.variants.{name}"), "DESCRIPTION", None) for name in folders())
    return tuple(each for each in found if isinstance(each, Description))
