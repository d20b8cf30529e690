"""Torch's own softmax attention: no variant of ours, but seen in models beside them."""
