"""CUDA kernels and TensorRT plugins of attnexport."""
