"""The cheapest scheme for each layer of an ONNX file that holds bounds on its outputs and on a task metric."""
