"""Vision transformers on handwritten digits."""
