"""Passes over the ONNX graph: nodes, function bodies, opset, metadata, dynamic dims."""
