"""Reads the ONNX file that an engine is built of, and refuses what no builder could take."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir

from attnexport.errors import InputError
from attnexport.graph.inspection import external_data, read_model
from attnexport.graph.nodes import attribute_names, call_site, variant_nodes
from attnexport.messages import named
from attnexport.variants.descriptions import OPTIONAL_TENSORS
from attnexport.variants.spec import Variant

_LOWEST_OPSET = 17
"""The lowest in which bodies are written."""

_LOOK_UP = ("plugin_namespace", "plugin_version")


def read_with_weights(path: Path) -> ir.Model:
    """The model with its weights at hand; external data is taken from its own folder alone.

    Raises:
        InputError: no file there, no ONNX model, weights that are missing or cut off, or an attention node without
            one of its inputs or attributes.
    """
    model = read_model(path)
    # ai.onnx is another name of the default domain, which a file of attention nodes alone need not import.
    model.opset_imports.setdefault("", model.opset_imports.get("ai.onnx", _LOWEST_OPSET))
    folder = path.absolute().parent
    for name in external_data(model):
        file = (folder / name).resolve()
        if not file.is_relative_to(folder.resolve()) or not file.is_file():
            raise InputError(f"{path}: expected its weights beside it, in {name}, and found none there")
    ir.external_data.set_base_dir(model.graph, folder)
    _check_sizes(path, model)
    for node, variant in variant_nodes(model.graph):
        _check_attention_node(path, node, variant)
    return model


def _check_sizes(path: Path, model: ir.Model) -> None:
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor):
            end, given = (tensor.offset or 0) + tensor.nbytes, Path(tensor.path).stat().st_size
            if given < end:
                raise InputError(f"{tensor.path}: expected {end} bytes or more for {path}, given {given}")


def _check_attention_node(path: Path, node: ir.Node, variant: Variant) -> None:
    where = f"{path}: node {node.name} ({node.op_type})"
    for name in attribute_names(variant):
        if name not in node.attributes and name not in _LOOK_UP:
            raise InputError(f"{where}: expected the attribute {name}, given none")
    for name, given in call_site(variant, node).inputs.items():
        if not given and name not in OPTIONAL_TENSORS:
            raise InputError(f"{where}: expected the {named('input', name)}, given none")
