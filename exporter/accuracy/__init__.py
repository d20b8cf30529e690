"""Does a file compute what PyTorch computes: inputs, contenders, errors, check, diagnosis, reports."""
