"""attnrt: builds and runs TensorRT engines from C++, without TensorRT's Python bindings; and its use from Python."""
