"""Reads a model's attention layers: what they attend to, and how separable the selection is."""
