"""Signs beyond ASCII, and what stands for them where they cannot be shown."""

from __future__ import annotations

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
_SIGNS = str.maketrans(_ASCII)
_DRAWN = str.maketrans({sign: _ASCII[sign] for sign in "…–−─█░"})


def without_signs(text: str) -> str:
    """The text without the signs that draw and set type; letters of every script stay."""
    return text.translate(_DRAWN)


def encodable(text: str, encoding: str) -> str:
    """The text in what an encoding has: signs in ASCII, other characters as Python's escapes."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_SIGNS).encode(encoding, "backslashreplace").decode(encoding)
    return text
