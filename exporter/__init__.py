"""New attention variants from PyTorch to ONNX and TensorRT, with the numbers to prove it.

    import torch, attnexport
    model, x = attnexport.KrauseAttention(dim=64, heads=4, window=32, causal=True), torch.randn(2, 100, 64)
    attnexport.convert(model, x, "krause.onnx", dynamic_shapes={"x": {0: "batch", 1: "tokens"}})
    report = attnexport.check(model, ["krause.onnx"], x, dynamic_shapes={"x": {0: "batch", 1: "tokens"}})
    print("within its budget" if report.passed else report)

Names are imported when first used, so that ``attnexport --help`` does not wait for torch. The variants' are those that
their folders name in ``__all__``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from attnexport.version import __version__ as __version__

if TYPE_CHECKING:
    from attnexport.accuracy.check.results import CheckReport as CheckReport
    from attnexport.accuracy.checking import check as check
    from attnexport.accuracy.comparing.compare import compare as compare
    from attnexport.accuracy.comparing.comparison import Comparison as Comparison
    from attnexport.accuracy.recorded.recording import RecordedSet as RecordedSet
    from attnexport.accuracy.recorded.recording import record as record
    from attnexport.analysis.analyzing import Analysis as Analysis
    from attnexport.analysis.analyzing import analyze as analyze
    from attnexport.calibration.observing import calibrate as calibrate
    from attnexport.calibration.quantizing import Quantization as Quantization
    from attnexport.calibration.quantizing import quantize as quantize
    from attnexport.calibration.ranges import Ranges as Ranges
    from attnexport.calibration.tuning.result import Tuning as Tuning
    from attnexport.calibration.tuning.tuning import tune as tune
    from attnexport.conversion.converting import Conversion as Conversion
    from attnexport.conversion.converting import convert as convert
    from attnexport.engines.building import build as build
    from attnexport.engines.manifest import Manifest as Manifest
    from attnexport.engines.running import Run as Run
    from attnexport.engines.running import run as run
    from attnexport.errors import AttnexportError as AttnexportError
    from attnexport.errors import BackendError as BackendError
    from attnexport.errors import ConversionError as ConversionError
    from attnexport.errors import InputError as InputError
    from attnexport.graph.inspection import Inspection as Inspection
    from attnexport.graph.inspection import inspect as inspect
    from attnexport.models.loading.sources import load_model as load_model
    from attnexport.models.model import Model as Model
    from attnexport.models.saving import save as save
    from attnexport.patching.patching import patch as patch
    from attnexport.patching.patching import prove_patch as prove_patch
    from attnexport.patching.patching import unpatch as unpatch
    from attnexport.patching.report import PatchReport as PatchReport
    from attnexport.variants.affine.variant import *
    from attnexport.variants.geometry import AttentionGeometry as AttentionGeometry
    from attnexport.variants.geometry import attention_geometry as attention_geometry
    from attnexport.variants.hla.variant import *
    from attnexport.variants.krause.variant import *
    from attnexport.variants.ssa.variant import *
    from attnexport.variants.topn.variant import *

_HOME = {
    "Analysis": "analysis.analyzing",
    "AttentionGeometry": "variants.geometry",
    "AttnexportError": "errors",
    "BackendError": "errors",
    "CheckReport": "accuracy.check.results",
    "Comparison": "accuracy.comparing.comparison",
    "Conversion": "conversion.converting",
    "ConversionError": "errors",
    "InputError": "errors",
    "Inspection": "graph.inspection",
    "Manifest": "engines.manifest",
    "Model": "models.model",
    "PatchReport": "patching.report",
    "Quantization": "calibration.quantizing",
    "Ranges": "calibration.ranges",
    "RecordedSet": "accuracy.recorded.recording",
    "Run": "engines.running",
    "Tuning": "calibration.tuning.result",
    "analyze": "analysis.analyzing",
    "attention_geometry": "variants.geometry",
    "build": "engines.building",
    "calibrate": "calibration.observing",
    "check": "accuracy.checking",
    "compare": "accuracy.comparing.compare",
    "convert": "conversion.converting",
    "inspect": "graph.inspection",
    "load_model": "models.loading.sources",
    "patch": "patching.patching",
    "prove_patch": "patching.patching",
    "quantize": "calibration.quantizing",
    "record": "accuracy.recorded.recording",
    "run": "engines.running",
    "save": "models.saving",
    "tune": "calibration.tuning.tuning",
    "unpatch": "patching.patching",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"attnexport.{_HOME[name]}"), name)
    elif name == "__all__":
        value = sorted({*_HOME, *_of_variants()})
    elif name.startswith("_") or name not in _of_variants():
        raise AttributeError(f"module 'attnexport' has no attribute {name!r}")
    else:
        value = _of_variants()[name]
    globals()[name] = value
    return value


def _of_variants() -> dict[str, Any]:
    from attnexport.variants.registry import public_names

    return public_names()


def __dir__() -> list[str]:
    """The public names, and what every module has."""
    return sorted({*(name for name in globals() if name.startswith("__")), *_HOME, *_of_variants()})
