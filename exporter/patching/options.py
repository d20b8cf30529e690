"""The arguments of attnexport.patch, checked before torch is asked."""

from __future__ import annotations

from collections.abc import Sequence

from attnexport.errors import InputError, did_you_mean
from attnexport.variants.descriptions import descriptions


def checked_variant(variant: object) -> str:
    """The name of a variant.

    Raises:
        InputError: another name.
    """
    names = [each.name for each in descriptions()]
    if variant not in names:
        given = did_you_mean(variant, names) if isinstance(variant, str) else ""
        raise InputError(f"variant: expected one of {', '.join(names)}, given {variant!r}{given}")
    return str(variant)


def checked_layers(layers: object) -> tuple[str, ...] | None:
    """Patterns of layers' paths; None for all.

    Raises:
        InputError: no text or sequence of texts.
    """
    if layers is None:
        return None
    patterns = (layers,) if isinstance(layers, str) else tuple(layers) if isinstance(layers, Sequence) else ()
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise InputError(f"layers: expected patterns of paths such as 'blocks.[0-3].attn', given {layers!r}")
    return patterns
