"""The registry: every folder below this one defines VARIANT, and its ``__all__`` is public.

A VARIANT that is no more than an Attention is an operator of torch's own: seen where models call it, never converted.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from attnexport.variants.spec import ONNX_DOMAIN, Attention, ErrorFloor, Variant

__all__ = [
    "Attention",
    "ErrorFloor",
    "Variant",
    "all_variants",
    "attention_of_torch_op",
    "public_names",
    "variant_of_op_type",
    "variant_of_torch_op",
]


def _discover() -> dict[str, Attention]:
    folders = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    return {name: importlib.import_module(f"{__name__}.{name}").VARIANT for name in folders}


_FOUND = _discover()
_VARIANTS = tuple(found for found in _FOUND.values() if isinstance(found, Variant))


def all_variants() -> tuple[Variant, ...]:
    """Every variant, in the order of the folder names."""
    return _VARIANTS


def public_names() -> dict[str, Any]:
    """The operators, modules and option classes of all variants, by the names that attnexport has them under."""
    folders = [importlib.import_module(f"{__name__}.{name}") for name in _FOUND]
    return {name: getattr(folder, name) for folder in folders for name in folder.__all__}


def attention_of_torch_op(target: object) -> Attention | None:
    """The variant, or the attention of torch's own, whose torch operator this FX target is."""
    return next((found for found in _FOUND.values() if found.torch_op is target), None)


def variant_of_torch_op(target: object) -> Variant | None:
    """The variant whose torch operator this FX target is."""
    found = attention_of_torch_op(target)
    return found if isinstance(found, Variant) else None


def variant_of_op_type(domain: str, op_type: str) -> Variant | None:
    """The variant whose ONNX node this is."""
    if domain != ONNX_DOMAIN:
        return None
    return next((variant for variant in all_variants() if variant.op_type == op_type), None)
