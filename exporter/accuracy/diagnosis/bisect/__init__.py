"""The guilty layer: intermediate values of a file and of PyTorch compared in batches, in bounded memory."""
