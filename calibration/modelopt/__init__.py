"""NVIDIA ModelOpt as the quantizer: it chooses layers, ranges and rounded weights, and they are written as ours are."""
