"""Vision transformers on letters and digits of many typefaces."""
