"""Opens plugin libraries: what they say of themselves, and calls of their operators from PyTorch."""
