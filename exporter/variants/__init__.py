"""The registry: every folder below this one is a variant, which it defines as VARIANT; its ``__all__`` is public."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from attnexport.variants.spec import ErrorFloor, Variant

__all__ = ["ErrorFloor", "Variant", "all_variants", "public_names", "variant_of_op_type", "variant_of_torch_op"]


def _discover() -> dict[str, Variant]:
    found = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        if module.ispkg:
            variant: Variant = importlib.import_module(f"{__name__}.{module.name}").VARIANT
            found[variant.name] = variant
    return found


_VARIANTS = _discover()


def all_variants() -> tuple[Variant, ...]:
    """Every variant, in the order of the folder names."""
    return tuple(_VARIANTS.values())


def public_names() -> dict[str, Any]:
    """The operators, modules and option classes of all variants, by the names that attnexport has them under."""
    folders = [importlib.import_module(f"{__name__}.{name}") for name in _VARIANTS]
    return {name: getattr(folder, name) for folder in folders for name in folder.__all__}


def variant_of_torch_op(target: object) -> Variant | None:
    """The variant whose torch operator this FX target is."""
    return next((variant for variant in all_variants() if variant.torch_op is target), None)


def variant_of_op_type(domain: str, op_type: str) -> Variant | None:
    """The variant whose ONNX node this is."""
    from attnexport.variants.spec import ONNX_DOMAIN

    if domain != ONNX_DOMAIN:
        return None
    return next((variant for variant in all_variants() if variant.op_type == op_type), None)
