"""Layers of a model: those that are patched, those that a library's file recognises."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from torch import nn

from attnexport.errors import InputError, did_you_mean
from attnexport.patching.libraries import recognisers_for
from attnexport.patching.protocol import CORE, Recogniser, Replacement
from attnexport.variants.core import AttentionCore

Found = tuple[Recogniser, nn.Module, Replacement | str]


def attention_layers(model: nn.Module) -> dict[str, Found]:
    """By path, each attention layer with the library's file and what it said of it."""
    recognisers = recognisers_for(model)
    found: dict[str, Found] = {}
    for path, module in model.named_modules():
        for recogniser in recognisers:
            said = recogniser.recognise(module)
            if said is not None:
                found[path] = (recogniser, module, said)
    return found


def chosen(found: dict[str, Found], patterns: Sequence[str] | None) -> dict[str, Found]:
    """The layers whose paths fit one of the patterns, all without patterns.

    Raises:
        InputError: a pattern that no attention layer fits.
    """
    if patterns is None:
        return found
    for pattern in patterns:
        if not fnmatch.filter(found, pattern):
            raise InputError(
                f"layers: expected patterns of attention layers, {pattern!r} fits none of {len(found)}"
                f"{did_you_mean(pattern, found)}"
            )
    return {path: each for path, each in found.items() if any(fnmatch.fnmatchcase(path, it) for it in patterns)}


def patched_layers(model: nn.Module) -> dict[str, nn.Module]:
    """By path, the layers that have a core."""
    return {path: module for path, module in model.named_modules() if _is_patched(module)}


def without_cores(model: nn.Module) -> None:
    """Makes every patched layer what it was."""
    for layer in patched_layers(model).values():
        delattr(layer, CORE)
        layer.__class__ = type(layer).__mro__[1]
    for recogniser in recognisers_for(model):
        recogniser.restore(model)


def _is_patched(module: nn.Module) -> bool:
    return isinstance(module._modules.get(CORE), AttentionCore)
