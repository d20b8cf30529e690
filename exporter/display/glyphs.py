"""Signs beyond ASCII, and what stands for them where they cannot be shown."""

from __future__ import annotations

import codecs

_ASCII = {
    "…": "...",
    "–": "-",
    "−": "-",
    "─": "-",
    "█": "#",
    "░": ".",
    "·": "*",
    "×": "x",
    "√": "sqrt",
    "∞": "inf",
    "≤": "<=",
    "≥": ">=",
    "½": "1/2",
    "²": "^2",
    "³": "^3",
    "‖": "||",
    "⟨": "<",
    "⟩": ">",
    "Σ": "sum",
    "Π": "prod",
    "α": "alpha",
    "β": "beta",
    "ε": "epsilon",
    "σ": "sigma",
    "τ": "tau",
    "φ": "phi",
}
_DRAWN = str.maketrans({sign: _ASCII[sign] for sign in "…–−─█░"})

IN_ASCII = "attnexport.in_ascii"
"""How an encoder treats characters that it lacks: signs become ASCII, others Python's escapes."""


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    said = (_ASCII.get(char) or char.encode("ascii", "backslashreplace").decode("ascii") for char in lacking)
    return "".join(said), error.end


codecs.register_error(IN_ASCII, _in_ascii)


def without_signs(text: str) -> str:
    """The text without the signs that draw and set type; letters of every script stay."""
    return text.translate(_DRAWN)


def encodable(text: str, encoding: str) -> str:
    """The text in what an encoding has."""
    return text.encode(encoding, IN_ASCII).decode(encoding)
