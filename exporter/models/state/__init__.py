"""Models that write buffers: what an ONNX file cannot hold, and buffers as inputs and outputs."""
