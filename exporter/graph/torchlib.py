"""The translations of torch's operators that torch.onnx takes from onnxscript, listed without parsing them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from onnxscript.function_libs.torch_lib import registration


@dataclass(frozen=True)
class TorchlibOperator:
    """A translation, by the names that torch.onnx reads of it."""

    qualified_name: str
    function: Any
    is_complex: bool


def torchlib_operators() -> list[TorchlibOperator]:
    """Every translation in onnxscript's registry."""
    # Importing them registers them.
    from onnxscript.function_libs.torch_lib import ops as ops

    return [
        TorchlibOperator(name, function, is_complex)
        for name, overloads in registration.default_registry.items()
        if not name.startswith("internal::")
        for functions, is_complex in ((overloads.overloads, False), (overloads.complex, True))
        for function in functions
    ]


@contextlib.contextmanager
def torchlib_unparsed() -> Iterator[None]:
    """Has torch.onnx.export list the translations in this way within the block.

    In its own way, at every export, the source of each of the 500 is parsed for a domain that nobody reads. A
    torch.onnx that asks elsewhere keeps its way.
    """
    try:
        from torch.onnx._internal._lazy_import import onnxscript_apis  # type: ignore[attr-defined]

        usual = onnxscript_apis.get_torchlib_ops
    except (ImportError, AttributeError):
        yield
        return
    setattr(onnxscript_apis, "get_torchlib_ops", torchlib_operators)  # noqa: B010
    try:
        yield
    finally:
        setattr(onnxscript_apis, "get_torchlib_ops", usual)  # noqa: B010
