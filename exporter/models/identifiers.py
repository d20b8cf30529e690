"""Which names may stand in generated Python code."""

from __future__ import annotations

import keyword
import unicodedata


def is_identifier(value: object) -> bool:
    """Whether it is a plain name: no keyword, no name of Python's own, and the same however it is read."""
    return (
        isinstance(value, str)
        and len(value) <= 256
        and value.isidentifier()
        and not keyword.iskeyword(value)
        and value == unicodedata.normalize("NFKC", value)
        and not (value.startswith("__") and value.endswith("__"))
    )
