"""What an engine of TensorRT-RTX says in its own text: the types that its products multiply, and of its constants."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

_TENSOR = re.compile(rb'tensor=\{[^\n]*? name="([^"]+)"[^\n]*? type=(\w+)')
_PRODUCT = re.compile(rb' (?:fully_connected|corrltn)=\{ name="([^"]*)" output=\{[^}]*\} input=\{([^}]*)\}')
_CONSTANT = "_dconst"


def product_types(engine: bytes) -> Mapping[str, tuple[str, str]]:
    """Types of both operands of every product by the name of its ONNX node; several that became one share them.

    A node of a body, which there may be several of, has a number behind its name from the second on.
    """
    types = _types(engine)
    found: dict[str, tuple[str, str]] = {}
    for names, inputs in _PRODUCT.findall(engine):
        first, second = re.findall(rb'"([^"]*)"', inputs)[:2]
        operands = (types.get(first.decode(), ""), types.get(second.decode(), ""))
        found |= dict.fromkeys(names.decode().split("+"), operands)
    return found


def together(engine: bytes) -> list[set[str]]:
    """ONNX nodes whose products became one."""
    return [set(names.decode().split("+")) for names, _ in _PRODUCT.findall(engine) if b"+" in names]


def constants(engine: bytes) -> Counter[str]:
    """How many constants of each type there are."""
    return Counter(dtype for name, dtype in _types(engine).items() if name.endswith(_CONSTANT))


def _types(engine: bytes) -> dict[str, str]:
    return {name.decode(): dtype.decode() for name, dtype in _TENSOR.findall(engine)}
