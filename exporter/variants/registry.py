"""The registry: every folder beside this file has a ``variant.py`` with VARIANT, whose ``__all__`` is public.

A VARIANT that is no more than an Attention is an operator of torch's own: seen where models call it, never converted.
"""

from __future__ import annotations

import importlib
from typing import Any

from attnexport.variants.descriptions import ONNX_DOMAIN, folders
from attnexport.variants.spec import Attention, Variant

_MODULES = [importlib.import_module(f"attnexport.variants.{name}.variant") for name in folders()]
_FOUND: tuple[Attention, ...] = tuple(module.VARIANT for module in _MODULES)
_VARIANTS = tuple(found for found in _FOUND if isinstance(found, Variant))


def all_variants() -> tuple[Variant, ...]:
    """Every variant, in the order of the folder names."""
    return _VARIANTS


def public_names() -> dict[str, Any]:
    """The operators, modules and option classes of all variants, by the names that attnexport has them under."""
    return {name: getattr(module, name) for module in _MODULES for name in module.__all__}


def attention_of_torch_op(target: object) -> Attention | None:
    """The variant, or the attention of torch's own, whose torch operator this FX target is."""
    return next((found for found in _FOUND if found.torch_op is target), None)


def variant_of_torch_op(target: object) -> Variant | None:
    """The variant whose torch operator this FX target is."""
    found = attention_of_torch_op(target)
    return found if isinstance(found, Variant) else None


def variant_of_op_type(domain: str, op_type: str) -> Variant | None:
    """The variant whose ONNX node this is."""
    if domain != ONNX_DOMAIN:
        return None
    return next((variant for variant in all_variants() if variant.op_type == op_type), None)
