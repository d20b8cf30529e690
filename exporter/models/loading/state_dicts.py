"""Which of a checkpoint's weights are a module's: under which key, behind which prefix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from attnexport.errors import InputError, shortlist
from attnexport.messages import count, option, together

_DEEPEST = 4
_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts of names that torch.compile, FSDP and activation checkpoints add, at any depth."""


@dataclass(frozen=True)
class StateDict:
    """Weights by name, as a checkpoint holds them.

    Attributes:
        key: where in the checkpoint, as ``model.state_dict``; empty for the file itself.
        entries: by name, without the parts that wrappers add.
    """

    key: str
    entries: Mapping[str, Any]

    def prefixes(self, names: Sequence[str]) -> list[str]:
        """What stands before a module's names here; the empty prefix where nothing does."""
        for name in names:
            ends = [entry for entry in self.entries if entry == name or entry.endswith(f".{name}")]
            if ends:
                return [entry[: len(entry) - len(name)] for entry in ends]
        return [""]


@dataclass(frozen=True)
class Match:
    """A module's names beside those of a state dict behind a prefix.

    Attributes:
        source: the state dict.
        prefix: what is taken off its names; entries without it are left out.
        missing, unexpected: names.
        misshapen: names with shapes that differ, in words.
        left_out: names of weights without the prefix; counters do not count.
    """

    source: StateDict
    prefix: str
    missing: Sequence[str]
    unexpected: Sequence[str]
    misshapen: Sequence[str]
    left_out: Sequence[str]

    @property
    def fits(self) -> bool:
        """Whether the module can be filled."""
        return not self.distance

    @property
    def distance(self) -> int:
        """How many names stand against it."""
        return len(self.missing) + len(self.unexpected) + len(self.misshapen)

    @property
    def options(self) -> str:
        """The options that choose it."""
        key = option("--weights-key", self.source.key) if self.source.key else ""
        prefix = option("--strip-prefix", self.prefix) if self.prefix else ""
        return together(filter(None, (key, prefix))) or "the file's own names"

    @property
    def weights(self) -> dict[str, Any]:
        """The entries by the module's names."""
        start = len(self.prefix)
        return {name[start:]: value for name, value in self.source.entries.items() if name.startswith(self.prefix)}


def find_state_dicts(loaded: object) -> list[StateDict]:
    """Every state dict in what torch.load returned, from the outside in."""
    return list(_found("", loaded, 0))


def _found(key: str, value: object, depth: int) -> Iterator[StateDict]:
    if isinstance(value, nn.Module):
        value = value.state_dict()
    if not isinstance(value, Mapping) or depth > _DEEPEST or not all(isinstance(name, str) for name in value):
        return
    if _is_state_dict(value):
        yield StateDict(key, {bare_name(name): entry for name, entry in value.items()})
        return
    for name, entry in value.items():
        yield from _found(f"{key}.{name}" if key else name, entry, depth + 1)


def _is_state_dict(value: Mapping[str, object]) -> bool:
    own = [entry for name, entry in value.items() if not name.endswith("_extra_state")]
    return any(isinstance(entry, Tensor) for entry in own) and not any(
        isinstance(entry, (Mapping, list, tuple, nn.Module)) for entry in own
    )


def bare_name(name: str) -> str:
    """A weight's name without the parts that wrappers add."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def choose(module: nn.Module, found: Sequence[StateDict], key: str | None, prefix: str | None) -> Match:
    """The one state dict, and the one prefix, whose names and shapes are the module's.

    Args:
        module: what is to be filled.
        found: from find_state_dicts, at least one.
        key: of the state dict. Default: None, whichever fits.
        prefix: what to take off its names; other entries are left out. Default: None, whichever leaves nothing out.

    Raises:
        InputError: nothing fits, or several do; the line says which options would fit.
    """
    own = {bare_name(name): value for name, value in module.state_dict().items()}
    shared = _shared(module)
    all_fits = [match for match in _matches(own, shared, found, None) if match.fits]
    within = found if key is None else [source for source in found if source.key == key]
    if not within:
        keys = ", ".join(source.key or "the file itself" for source in found)
        there = f"no weights under it; there are weights under {keys}{_advice(all_fits)}"
        raise InputError(f"{option('--weights-key', key)}: {there}")
    matches = _matches(own, shared, within, prefix)
    fitting = [match for match in matches if match.fits and (prefix is not None or not match.left_out)]
    if len(fitting) > 1:
        ways = ", or ".join(match.options for match in fitting[:4])
        raise InputError(
            f"several sets of weights fit the {type(module).__name__} of {option('--model')}: choose with {ways}"
        )
    if fitting:
        return fitting[0]
    nearest = min(matches, key=lambda match: (match.distance, len(match.left_out)))
    raise InputError(
        f"the weights do not fit the {type(module).__name__} of {option('--model')} "
        f"({_why(nearest)}){_advice(all_fits)}"
    )


def _matches(
    own: Mapping[str, Any], shared: Mapping[str, set[str]], found: Sequence[StateDict], prefix: str | None
) -> list[Match]:
    return [
        _match(own, shared, source, start)
        for source in found
        for start in ([_ended(prefix)] if prefix is not None else dict.fromkeys(source.prefixes(list(own))))
    ]


def _ended(prefix: str) -> str:
    return prefix if not prefix or prefix.endswith(".") else f"{prefix}."


def _match(own: Mapping[str, Any], shared: Mapping[str, set[str]], source: StateDict, prefix: str) -> Match:
    given = {name[len(prefix) :]: value for name, value in source.entries.items() if name.startswith(prefix)}
    others = [name for name, value in source.entries.items() if not name.startswith(prefix) and _is_weight(value)]
    return Match(
        source,
        prefix,
        missing=[name for name in own if name not in given and not shared.get(name, set()) & given.keys()],
        unexpected=[name for name, value in given.items() if name not in own and isinstance(value, Tensor)],
        misshapen=[
            f"{name}: expected {tuple(own[name].shape)}, given {tuple(value.shape)}"
            for name, value in given.items()
            if name in own and _differ(own[name], value)
        ],
        left_out=others,
    )


def _is_weight(value: object) -> bool:
    return isinstance(value, Tensor) and value.numel() > 1


def _differ(own: object, given: object) -> bool:
    if not isinstance(own, Tensor) or is_lazy(own) or not isinstance(given, Tensor):
        return False
    return own.shape != given.shape


def shared_names(module: nn.Module) -> list[list[str]]:
    """Names of the same parameter, for each that has several."""
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return [same for same in names.values() if len(same) > 1]


def _shared(module: nn.Module) -> dict[str, set[str]]:
    """For each name, the others of the same parameter; safetensors stores such a weight once."""
    groups = [set(map(bare_name, same)) for same in shared_names(module)]
    return {name: same for same in groups for name in same}


def _why(match: Match) -> str:
    parts = [
        f"{label}: {shortlist(names)}"
        for label, names in (("missing", match.missing), ("unexpected", match.unexpected))
        if names
    ]
    parts += match.misshapen[:2]
    if len(match.misshapen) > 2:
        parts.append(f"and {len(match.misshapen) - 2} more shapes")
    if not parts:
        parts.append(f"those behind {match.prefix} do, {count(len(match.left_out), 'other')} would be left out")
    return "; ".join(parts)


def _advice(fitting: Sequence[Match]) -> str:
    return f": {', or '.join(match.options for match in fitting[:4])} would fit" if fitting else ""
