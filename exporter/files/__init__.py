"""Files: outputs that are whole or absent, arrays, JSON of data classes."""
