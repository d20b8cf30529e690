"""Budget files: outputs and layers that somebody allows another error than the rule's, each with a reason.

[outputs.logits]
factor = 4                      # times PyTorch's own error
reason = "the engine keeps softmax in half precision"

[layers."blocks.3.attention"]
limit = 1e-3                    # largest absolute error
reason = "scores near the limit of half precision"
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attnexport.accuracy.check.override import Override
from attnexport.errors import InputError, did_you_mean

_KEYS = {"limit", "factor", "reason"}


@dataclass(frozen=True)
class BudgetFile:
    """What a budget file allows.

    Attributes:
        outputs, layers: overrides by name.
    """

    outputs: Mapping[str, Override] = field(default_factory=dict)
    layers: Mapping[str, Override] = field(default_factory=dict)

    @property
    def overrides(self) -> tuple[Override, ...]:
        """All of them, outputs first."""
        return (*self.outputs.values(), *self.layers.values())


def read_budget_file(path: str | os.PathLike[str], outputs: Iterable[str], layers: Iterable[str]) -> BudgetFile:
    """Reads a budget file.

    Args:
        path: a TOML file.
        outputs: the model's output names.
        layers: the model's module paths.

    Raises:
        InputError: no TOML, an unknown name or key, or an entry without a reason or with a limit that is none.
    """
    found = written_budget(path)
    for table, entries, names in (("outputs", found.outputs, list(outputs)), ("layers", found.layers, list(layers))):
        for name in entries:
            if name not in names:
                there = f"it has {', '.join(names) or 'none'}{did_you_mean(name, names)}"
                raise InputError(f"{path}: {table}.{name}: the model has no such name; {there}")
    return found


def written_budget(path: str | os.PathLike[str]) -> BudgetFile:
    """Reads a budget file without the model that it is for.

    Raises:
        InputError: no TOML, an unknown key, or an entry without a reason or with a limit that is none.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise InputError(f"{path}: expected a file of TOML, given something else")
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: expected TOML: {error}") from error
    except RecursionError as error:
        raise InputError(f"{path}: expected TOML, given one that nests too deeply") from error
    found: dict[str, dict[str, Override]] = {"outputs": {}, "layers": {}}
    for table, entries in content.items():
        if table not in found or not isinstance(entries, dict):
            raise InputError(f"{path}: expected the tables outputs and layers, given {table}")
        for name, entry in entries.items():
            found[table][name] = _override(f"{path}: {table}.{name}", name, entry)
    return BudgetFile(found["outputs"], found["layers"])


def _override(place: str, name: str, entry: Any) -> Override:
    if not isinstance(entry, dict) or entry.keys() - _KEYS or len(entry.keys() & {"limit", "factor"}) != 1:
        raise InputError(f"{place}: expected limit or factor, and reason, given {_given(entry)}")
    reason = entry.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        raise InputError(f"{place}: expected a reason, given {'none' if reason is None else repr(reason)}")
    for key in ("limit", "factor"):
        value = entry.get(key)
        if value is not None and not _is_allowance(value):
            raise InputError(f"{place}: expected a positive number for {key}, given {_given(value)}")
    return Override(name, " ".join(reason.split()), entry.get("limit"), entry.get("factor"))


def _is_allowance(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= sys.float_info.max


def _given(entry: Any) -> str:
    if isinstance(entry, dict):
        return ", ".join(entry) or "nothing"
    return "a number of too many digits" if type(entry) is int and abs(entry) >> 1024 else repr(entry)
