"""Variants in place of the attention of other libraries' layers, with their weights."""
