"""Small ONNX files, and drafts of engines for TensorRT releases that are not installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx.helper as oh
import onnx.numpy_helper as onh

from attnexport.engines.draft import Draft, limits_of
from attnexport.engines.shape_texts import parse_shapes
from attnexport.engines.shapes import profiles_for
from attnexport.graph.file_precision import precision_of
from attnexport.graph.inspection import read_model
from attnexport.graph.nodes import variant_nodes
from attnexport.plugins.calling.library import Library
from attnexport.targets import find_target

FLOAT = onnx.TensorProto.FLOAT


def value(name: str, sizes: Sequence[int | str] | None, dtype: int = FLOAT) -> onnx.ValueInfoProto:
    """An input or output."""
    return oh.make_tensor_value_info(name, dtype, sizes)


def save_graph(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    outputs: Sequence[str] = ("y",),
    opset: int = 20,
    functions: Sequence[onnx.FunctionProto] = (),
) -> Path:
    """Writes a model of these nodes; the outputs are of unknown shape."""
    initializers = [onh.from_array(array, name) for name, array in (constants or {}).items()]
    graph = oh.make_graph(nodes, "graph", inputs, [value(name, None) for name in outputs], initializers)
    imports = [oh.make_opsetid("", opset), oh.make_opsetid("com.microsoft", 1)]
    onnx.save(oh.make_model(graph, opset_imports=imports, ir_version=10, functions=functions), path)
    return path


def with_attribute(path: Path, output: Path, name: str, given: str | None) -> Path:
    """The file with another value of an attribute of its attention nodes, or without the attribute."""
    model = onnx.load(path)
    for node in model.graph.node:
        if node.domain == "attnexport":
            kept = [attribute for attribute in node.attribute if attribute.name != name]
            del node.attribute[:]
            node.attribute.extend(kept if given is None else [*kept, oh.make_attribute(name, given)])
    onnx.save(model, output)
    return output


@dataclass(frozen=True)
class Release:
    """A TensorRT that is not installed here: what is known of it before it builds."""

    version: str
    name: str = "native"
    product: str = "TensorRT"

    @property
    def strongly_typed(self) -> bool:
        return not self.version.startswith("8.")


def draft_for(
    path: Path,
    target: str,
    version: str,
    *,
    library: Library | None = None,
    precision: str | None = None,
    shapes: Sequence[str] = (),
) -> Draft:
    """The draft of an engine that another TensorRT would build."""
    model = read_model(path)
    chosen = find_target(target)
    held = precision_of(model)
    return Draft(
        path=path,
        model=model,
        target=chosen,
        limits=limits_of(chosen, Release(version)),
        held=held,
        precision=precision or held,
        rewritten=False,
        profiles=profiles_for(model, parse_shapes(shapes)),
        attention_nodes=tuple(variant_nodes(model.graph)),
        library=library,
    )
