"""A folder each: what the variants are is in ``descriptions``, what they do in ``registry``."""
