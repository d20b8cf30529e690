"""The kinds of generated inputs in words; what makes them is in ``generated``."""

from __future__ import annotations

from attnexport.errors import InputError, did_you_mean
from attnexport.messages import option

TITLES = {
    "normal": "values like the example's",
    "large": "scaled until products of two values come near half's limit",
    "constant": "every value of an input the same",
    "one-hot": "one value of the last axis, the others zero",
    "varied": "other truths and smaller whole numbers than the example's one, later first keys",
    "length-1": "lengths of 1, or the least declared",
    "long": "the longest lengths",
    "minimum": "each dynamic dim at its least",
    "middle": "each dynamic dim at its middle",
    "maximum": "each dynamic dim at its most",
}
"""What inputs of each kind are, by the names that ``--kinds`` takes."""


def title_of(name: str) -> str:
    """What inputs of this kind are, in words."""
    return TITLES.get(name, "data that was given")


def is_extreme(name: str) -> bool:
    """Whether inputs of this kind are generated ones that a model may never see."""
    return name in TITLES and name != "normal"


def kind_names(text: str | None) -> tuple[str, ...]:
    """What ``--kinds normal,large`` names, each once; all kinds without.

    Raises:
        InputError: a name that is none of them.
    """
    names = list(TITLES) if text is None else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in TITLES:
            said = f"{option('--kinds')}: expected some of {', '.join(TITLES)}, given {name!r}"
            raise InputError(f"{said}{did_you_mean(name, TITLES)}")
    return tuple(dict.fromkeys(names))
