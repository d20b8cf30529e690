"""What is held to the float64 reference, and the runs in PyTorch that it is held to."""
