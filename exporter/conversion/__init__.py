"""From a model in PyTorch to one ONNX file, proven by running it."""
