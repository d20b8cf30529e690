"""Reads what an ONNX file holds without running it."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google.protobuf.message
import numpy as np
import onnx
import onnx_ir as ir

from attnexport.errors import InputError
from attnexport.files.outputs import sha256
from attnexport.graph.attention_nodes import attention_nodes
from attnexport.graph.file_precision import precision_name
from attnexport.graph.metadata import PREFIX
from attnexport.graph.onnx_file import check_onnx_file
from attnexport.graph.soundness import check_soundness

_DAMAGED = (
    google.protobuf.message.DecodeError,
    ir.serde.SerdeError,
    AttributeError,
    IndexError,
    KeyError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class PluginNode:
    """A node that TensorRT gives to a plugin when one is loaded.

    Attributes:
        name: the node's name.
        op_type: its operator.
        attributes: its static parameters.
        plugin: namespace, name and version that TensorRT looks up, or None where the attributes are missing.
        has_body: whether a function body travels along for everything else.
    """

    name: str
    op_type: str
    attributes: dict[str, Any]
    plugin: str | None
    has_body: bool


@dataclass(frozen=True)
class Inspection:
    """What an ONNX file holds.

    Attributes:
        path, bytes, sha256: the file; bytes counts external data too.
        external_data: files that hold weights beside it.
        opset: of the default domain.
        ir_version: of the file.
        precision: what its Q/DQ nodes round to, as int8 or fp8, else its floating precision.
        inputs, outputs: name to type and shape as text, dynamic sizes by name.
        nodes: the plugin nodes in order.
        other_nodes: how many other nodes the graph has.
        metadata: what attnexport wrote into it.
    """

    path: Path
    bytes: int
    sha256: str
    external_data: tuple[str, ...]
    opset: int
    ir_version: int
    precision: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    nodes: tuple[PluginNode, ...]
    other_nodes: int
    metadata: dict[str, str]


def read_model(path: str | os.PathLike[str]) -> ir.Model:
    """Parses an ONNX file without its external data.

    Raises:
        InputError: no file there, or not an ONNX model.
    """
    path = Path(path)
    check_onnx_file(path)
    try:
        proto = onnx.load_model_from_string(path.read_bytes())
        if not proto.HasField("graph") or not proto.opset_import:
            raise InputError(f"{path}: expected an ONNX model, given a file without a graph")
        check_soundness(path, proto)
        with _quiet():
            return ir.serde.deserialize_model(proto)
    except _DAMAGED as error:
        raise InputError(f"{path}: expected an ONNX model, given a file that is none or is damaged") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences onnx_ir's warnings about damaged graphs, which are not one line."""
    logger = logging.getLogger("onnx_ir")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def inspect(path: str | os.PathLike[str]) -> Inspection:
    """Reads the facts of an ONNX file.

    Raises:
        InputError: no file there, or not an ONNX model.
    """
    path = Path(path)
    model = read_model(path)
    bodies = {identifier[:2] for identifier in model.functions}
    nodes = []
    for node in attention_nodes(model.graph):
        attributes = {attribute.name: _plain(attribute.value) for attribute in node.attributes.values()}
        namespace, version = attributes.pop("plugin_namespace", None), attributes.pop("plugin_version", None)
        nodes.append(
            PluginNode(
                name=str(node.name or ""),
                op_type=node.op_type,
                attributes=attributes,
                plugin=f"{namespace}::{node.op_type} version {version}" if namespace and version else None,
                has_body=(node.domain, node.op_type) in bodies,
            )
        )
    external = external_data(model)
    return Inspection(
        path=path,
        bytes=path.stat().st_size + sum(_size_beside(path, name) for name in external),
        sha256=sha256(path),
        external_data=external,
        opset=model.opset_imports.get("", 0),
        ir_version=model.ir_version,
        precision=precision_name(model),
        inputs={str(value.name or ""): _text(value) for value in model.graph.inputs},
        outputs={str(value.name or ""): _text(value) for value in model.graph.outputs},
        nodes=tuple(nodes),
        other_nodes=len(model.graph) - len(nodes),
        metadata={
            key.removeprefix(PREFIX): str(value)
            for key, value in model.metadata_props.items()
            if key.startswith(PREFIX)
        },
    )


def external_data(model: ir.Model) -> tuple[str, ...]:
    """Names of the files that hold weights, as the model gives them: relative to its folder when it is honest."""
    tensors = (value.const_value for value in model.graph.initializers.values())
    return tuple(sorted({str(tensor.location) for tensor in tensors if isinstance(tensor, ir.ExternalTensor)}))


def check_external_data(path: Path) -> None:
    """Refuses a model whose weights lie elsewhere than in its own folder.

    Raises:
        InputError: naming the file that holds them.
    """
    for name in external_data(read_model(path)):
        if not (path.parent / name).resolve().is_relative_to(path.parent.resolve()):
            raise InputError(f"{path}: external data: expected a file in the model's folder, given {name}")


def model_sha256(path: Path) -> str:
    """SHA-256 of an ONNX file; of those of all its files together where weights lie beside it."""
    beside = sorted(set(external_data(read_model(path))))
    if not beside:
        return sha256(path)
    together = "".join([sha256(path), *(sha256(path.parent / name) for name in beside)])
    return hashlib.sha256(together.encode()).hexdigest()


def _size_beside(path: Path, name: str) -> int:
    beside = (path.parent / name).resolve()
    inside = beside.is_relative_to(path.parent.resolve())
    return beside.stat().st_size if inside and beside.is_file() else 0


def _plain(value: Any) -> Any:
    """Floats as the shortest decimal of their single precision."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _text(value: ir.Value) -> str:
    sizes = "?" if value.shape is None else ", ".join(_size(size) for size in value.shape)
    return f"({sizes}) {value.dtype.name.lower() if value.dtype is not None else '?'}"


def _size(size: int | ir.SymbolicDim) -> str:
    return str(size) if isinstance(size, int) else str(size.value or "?")
