"""Reads what TensorRT's engine inspector says of an engine's layers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from attnexport.backends.building import Layer

# Formats read "Row major linear FP32" or "... FP16 format" up to 10.x, and a bare type after that.
_TYPES = (
    (r"\bFP32\b|\bFloat\b", "fp32"),
    (r"\bFP16\b|\bHalf\b", "fp16"),
    (r"\bBF16\b|\bBFloat16\b", "bf16"),
    (r"\bFP8\b", "fp8"),
    (r"\bFP4\b", "fp4"),
    (r"\bInt8\b", "int8"),
    (r"\bInt4\b", "int4"),
    (r"\bInt32\b", "int32"),
    (r"\bInt64\b", "int64"),
    (r"\bBool\b", "bool"),
)
_ONNX_NAME = re.compile(r"\[ONNX Layer: (.+?)\]")


def onnx_name(metadata: str, otherwise: str) -> str:
    """Name of the ONNX node that a layer's metadata tells of."""
    found = _ONNX_NAME.search(metadata)
    return found[1] if found else otherwise


def read_layers(text: str) -> list[Layer]:
    """The layers in the JSON of IEngineInspector::getEngineInformation.

    An engine that was built without detailed profiling verbosity names its layers and no more: they come with an
    empty kind and no precisions.
    """
    layers = json.loads(text).get("Layers", [])
    return [Layer(layer, "", ()) if isinstance(layer, str) else _layer(layer) for layer in layers]


def _layer(given: Mapping[str, Any]) -> Layer:
    name, kind = str(given.get("Name", "")), str(given.get("LayerType", ""))
    precisions = tuple(_precision(output) for output in given.get("Outputs", []))
    if not kind.startswith("Plugin"):
        return Layer(name, kind, precisions)
    return Layer(onnx_name(str(given.get("Metadata", "")), name), kind, precisions, str(given.get("PluginType", kind)))


def _precision(output: Mapping[str, Any]) -> str:
    """The type in a description such as "Channel major FP16 format where channel % 8 == 0"."""
    text = " ".join(str(output.get(key, "")) for key in ("Datatype", "Format/Datatype"))
    for pattern, name in _TYPES:
        if re.search(pattern, text, re.IGNORECASE):
            return name
    return text.strip().lower()
