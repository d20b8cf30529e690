"""What a module has to say in the files that are made of it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

_ATTRIBUTE = "_attnexport_descriptions"


def describe_module(module: nn.Module, **texts: str | None) -> None:
    """Has files of the module, or of one that holds it, say these texts in their metadata; None takes one away."""
    kept = {**getattr(module, _ATTRIBUTE, {}), **texts}
    setattr(module, _ATTRIBUTE, {key: text for key, text in kept.items() if text is not None})


def descriptions_of(module: nn.Module) -> Mapping[str, str]:
    """What a module and those in it say, by key, each text once."""
    found: dict[str, list[str]] = {}
    for part in module.modules():
        for key, text in getattr(part, _ATTRIBUTE, {}).items():
            if text not in found.setdefault(key, []):
                found[key].append(text)
    return {key: "; ".join(texts) for key, texts in found.items()}
