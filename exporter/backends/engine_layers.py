"""Reads what TensorRT's engine inspector says of an engine's layers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
_STRING_OR_NUMBER_JSON_LACKS = re.compile(r'"(?:[^"\\]|\\.)*"|[+-]?\b(?:nan|inf(?:inity)?)\b(?:\(\w*\))?', re.I | re.S)
_BACKSLASH_OF_NO_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-f]{4})|\\', re.I)


@dataclass(frozen=True)
class EngineLayers:
    """What an engine inspector said.

    Attributes:
        layers: those that could be read.
        unknown: what is not known of the others, a sentence; None where all were read.
    """

    layers: tuple[Layer, ...]
    unknown: str | None = None


def onnx_name(metadata: str, otherwise: str) -> str:
    """Name of the ONNX node that a layer's metadata tells of."""
    found = _ONNX_NAME.search(metadata)
    return found[1] if found else otherwise


def read_layers(text: str) -> EngineLayers:
    """The layers in the JSON of IEngineInspector::getEngineInformation, as far as it can be read; nothing is raised.

    TensorRT 8.6 leaves control characters in it as they are, and numbers may be nan. Whatever cannot be read ends the
    list. An engine that was built without detailed profiling verbosity names its layers and no more: they come with
    an empty kind and no precisions.
    """
    start = re.search(r'"Layers"\s*:\s*\[', text)
    if start is None:
        return EngineLayers((), f"the engine's layers are not known: TensorRT lists none in {len(text)} characters")
    layers = []
    try:
        for given in _entries(_STRING_OR_NUMBER_JSON_LACKS.sub(_as_json, text[start.end() :])):
            layers.append(_layer(given))
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        unknown = (
            f"the engine's layers after the first {len(layers)} are not known: TensorRT's JSON cannot be read there"
        )
        return EngineLayers(tuple(layers), f"{unknown} ({reason})")
    return EngineLayers(tuple(layers))


def _as_json(found: re.Match[str]) -> str:
    """A string with every backslash escaped that escapes nothing; null for a number that JSON has no word for."""
    token = found[0]
    if not token.startswith('"'):
        return "null"
    return _BACKSLASH_OF_NO_ESCAPE.sub(lambda part: part[0] if len(part[0]) > 1 else r"\\", token)


def _entries(text: str) -> Iterator[Any]:
    """The values of a list up to its closing bracket."""
    decoder = json.JSONDecoder(strict=False)
    position = _after_blanks(text, 0)
    while text[position : position + 1] != "]":
        value, position = decoder.raw_decode(text, position)
        yield value
        position = _after_blanks(text, position)
        if text[position : position + 1] == ",":
            position = _after_blanks(text, position + 1)


def _after_blanks(text: str, position: int) -> int:
    while text[position : position + 1].isspace():
        position += 1
    return position


def _layer(given: Any) -> Layer:
    if isinstance(given, str):
        return Layer(given, "", ())
    if not isinstance(given, dict):
        raise ValueError(f"Expecting a layer, given {type(given).__name__}")
    name, kind = str(given.get("Name", "")), str(given.get("LayerType", ""))
    precisions = tuple(_precision(output) for output in given.get("Outputs") or () if isinstance(output, dict))
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
