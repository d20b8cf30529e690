"""What torch.onnx is told of onnxscript's translations is what it would find by itself."""

from __future__ import annotations

from torch.onnx._internal.exporter._registration import ONNXRegistry

from attnexport.graph.torchlib import torchlib_unparsed


def test_the_table_of_translations_is_torchs_own():
    own = ONNXRegistry.from_torchlib(20)
    with torchlib_unparsed():
        ours = ONNXRegistry.from_torchlib(20)
    assert len(own.functions) > 400
    assert ours.functions == own.functions
    assert list(ours.functions) == list(own.functions)
