"""What TensorRT's engine inspector says, in the words of its releases."""

from __future__ import annotations

import json

import pytest

from attnexport.backends.building import Layer
from attnexport.backends.engine_layers import read_layers


def plugin(kind: str, description: dict[str, str], **more: str) -> str:
    layer = {"Name": "inner", "LayerType": kind, "Outputs": [{"Name": "y", **description}], **more}
    return json.dumps({"Layers": [layer], "Bindings": ["x", "y"]})


@pytest.mark.parametrize(
    ("said", "precision"),
    [
        ({"Format/Datatype": "Row major linear FP32"}, "fp32"),
        ({"Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}, "fp16"),
        ({"Format/Datatype": "Half"}, "fp16"),
        ({"Format/Datatype": "Float"}, "fp32"),
        ({"Format/Datatype": "BFloat16"}, "bf16"),
        ({"Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format."}, "int8"),
        ({"Format": "Row major", "Datatype": "Half"}, "fp16"),
    ],
)
def test_types_of_every_release(said: dict[str, str], precision: str):
    (layer,) = read_layers(plugin("PluginV2", said, PluginType="TopNAttention")).layers
    assert layer == Layer("inner", "PluginV2", (precision,), "TopNAttention")


def test_a_plugin_has_the_name_of_its_node():
    said = plugin("PluginV3", {"Format/Datatype": "Half"}, Metadata="[ONNX Layer: node_a]", PluginType="A")
    assert read_layers(said).layers == (Layer("node_a", "PluginV3", ("fp16",), "A"),)


def test_an_engine_without_details_has_names_alone():
    assert read_layers('{"Layers": ["a", "b"]}').layers == (Layer("a", "", ()), Layer("b", "", ()))
