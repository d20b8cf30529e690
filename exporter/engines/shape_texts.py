"""The option --shapes, read without the model that it is for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attnexport.errors import InputError
from attnexport.messages import option
from attnexport.plugins.runtime.request import Profile

_FORM = "expected NAME=MIN:OPT:MAX such as x=1x16x64:8x128x64:32x1024x64, or one shape"
_OPTION = re.compile(r"(?P<name>.+)=(?P<shapes>[0-9x]+(?::[0-9x]+){0,2})")
_MAX_SIZE = 2**31 - 1


def parse_shapes(texts: Sequence[str]) -> dict[str, Profile]:
    """The --shapes options by input name.

    Args:
        texts: such as ``x=1x16x64:8x128x64:32x1024x64``, the smallest, the usual and the largest shape; a single
            shape stands for all three.

    Raises:
        InputError: a text of another form, a size of 0, shapes that do not grow, or a name given twice.
    """
    profiles: dict[str, Profile] = {}
    for text in texts:
        match = _OPTION.fullmatch(text.strip())
        if match is None:
            raise InputError(f"{option('--shapes')} {text}: {_FORM}")
        name = match["name"].strip()
        if name in profiles:
            raise InputError(f"{option('--shapes')} {text}: {name} is given twice")
        profiles[name] = _parse_profile(text, match["shapes"])
    return profiles


def _parse_profile(text: str, written: str) -> Profile:
    shapes = []
    for shape in written.split(":"):
        sizes = shape.split("x")
        if not all(size.isdecimal() and 1 <= int(size) <= _MAX_SIZE for size in sizes):
            wanted = "expected sizes of 1 or more with x between them"
            raise InputError(f"{option('--shapes')} {text}: {wanted}, given {shape}")
        shapes.append(tuple(map(int, sizes)))
    if len(shapes) == 2:
        raise InputError(f"{option('--shapes')} {text}: {_FORM}")
    low, usual, high = shapes if len(shapes) == 3 else shapes * 3
    grows = len(low) == len(usual) == len(high) and all(a <= b <= c for a, b, c in zip(low, usual, high, strict=True))
    if not grows:
        wanted = "expected three shapes of one rank that do not shrink from MIN to MAX"
        raise InputError(f"{option('--shapes')} {text}: {wanted}")
    return Profile(low, usual, high)
