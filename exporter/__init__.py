"""attnexport: new attention variants from PyTorch to ONNX and TensorRT, with the numbers to prove it.

Names are imported when first used, so that ``attnexport --help`` does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from attnexport.version import __version__ as __version__

if TYPE_CHECKING:
    from attnexport.accuracy.checking import check as check
    from attnexport.conversion.converting import Conversion as Conversion
    from attnexport.conversion.converting import convert as convert
    from attnexport.errors import AttnexportError as AttnexportError
    from attnexport.errors import ConversionError as ConversionError
    from attnexport.errors import InputError as InputError
    from attnexport.models.loading import load_model as load_model
    from attnexport.models.saving import save as save
    from attnexport.variants.affine.module import AffineScaledAttention as AffineScaledAttention
    from attnexport.variants.affine.op import affine_scaled_attention as affine_scaled_attention
    from attnexport.variants.geometry import AttentionGeometry as AttentionGeometry
    from attnexport.variants.geometry import attention_geometry as attention_geometry
    from attnexport.variants.hla.module import HadamardLinearAttention as HadamardLinearAttention
    from attnexport.variants.hla.op import hadamard_linear_attention as hadamard_linear_attention
    from attnexport.variants.krause.module import KrauseAttention as KrauseAttention
    from attnexport.variants.krause.neighbourhood import Grid as Grid
    from attnexport.variants.krause.op import krause_attention as krause_attention
    from attnexport.variants.ssa.module import (
        SelectiveSynchronizationAttention as SelectiveSynchronizationAttention,
    )
    from attnexport.variants.ssa.op import (
        selective_synchronization_attention as selective_synchronization_attention,
    )
    from attnexport.variants.topn.module import TopNAttention as TopNAttention
    from attnexport.variants.topn.op import top_n_attention as top_n_attention

_HOME = {
    "AffineScaledAttention": "variants.affine.module",
    "AttentionGeometry": "variants.geometry",
    "AttnexportError": "errors",
    "Conversion": "conversion.converting",
    "ConversionError": "errors",
    "Grid": "variants.krause.neighbourhood",
    "HadamardLinearAttention": "variants.hla.module",
    "InputError": "errors",
    "KrauseAttention": "variants.krause.module",
    "SelectiveSynchronizationAttention": "variants.ssa.module",
    "TopNAttention": "variants.topn.module",
    "affine_scaled_attention": "variants.affine.op",
    "attention_geometry": "variants.geometry",
    "check": "accuracy.checking",
    "convert": "conversion.converting",
    "hadamard_linear_attention": "variants.hla.op",
    "krause_attention": "variants.krause.op",
    "load_model": "models.loading",
    "save": "models.saving",
    "selective_synchronization_attention": "variants.ssa.op",
    "top_n_attention": "variants.topn.op",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'attnexport' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"attnexport.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
