"""Files of torch.save: read without running code, and their weights filled into a module."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from attnexport.errors import BRIEF, InputError, first_line, told
from attnexport.messages import option
from attnexport.models.loading.checkpoint_sizes import check_checkpoint
from attnexport.models.loading.modules import current_folder_importable
from attnexport.models.loading.state_dicts import StateDict, bare_name, choose, find_state_dicts, shared_names
from attnexport.models.loading.unwrapping import inner


def read_checkpoint(
    path: Path, data: bytes, *, trust_pickle: bool, warn: Callable[[str], None]
) -> nn.Module | list[StateDict]:
    """What a file of torch.save holds: its state dicts, at least one, or a trusted nn.Module.

    Raises:
        InputError: pickled objects without trust_pickle, a damaged file, or something else inside.
    """
    check_checkpoint(path, data)
    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        objects = _pickled_objects(data, error)
        if not objects:
            raise InputError(
                f"{path}: the file is truncated or damaged: torch.load says {first_line(error, BRIEF)}"
            ) from None
        if not trust_pickle:
            raise InputError(
                f"{path}: holds pickled Python objects ({objects}), and reading them can run any code on this "
                "machine: save the model with attnexport.save or torch.export.save instead, or its state dict with "
                f"torch.save(model.state_dict(), ...), or pass {option('--trust-pickle', True)} if you trust where it "
                "comes from"
            ) from None
        warn(
            f"{path}: {option('--trust-pickle', True)} is given: unpickling {objects} can run any code on this "
            "machine; only do this with files whose origin you trust"
        )
        loaded = _unpickled(path, data)
    if isinstance(loaded, nn.Module):
        return inner(loaded).eval()
    found = find_state_dicts(loaded)
    if found:
        return found
    keys = f"a dict with the keys {', '.join(map(str, list(loaded)[:5]))}" if isinstance(loaded, Mapping) else ""
    raise InputError(
        f"{path}: expected a state dict, or a checkpoint with one inside, given {keys or f'a {type(loaded).__name__}'}"
    )


def _pickled_objects(data: bytes, error: Exception) -> str:
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data))
    except Exception:
        names = re.findall(r"GLOBAL ([\w.]+)", str(error)) if isinstance(error, pickle.UnpicklingError) else []
    own = sorted(names, key=lambda name: (name.startswith(("torch.", "builtins.", "collections.")), name))
    return ", ".join(own[:3]) + (", ..." if len(own) > 3 else "")


def _unpickled(path: Path, data: bytes) -> object:
    try:
        with current_folder_importable():
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"{path}: the class of a pickled object cannot be imported here ({first_line(error, BRIEF)}): run where "
            "its code is, or save the model there with attnexport.save"
        ) from None
    except Exception as error:
        raise InputError(f"{path}: unpickling failed: {told(error)}") from None


def fill_weights(
    module: nn.Module, found: list[StateDict], source: str, *, key: str | None = None, prefix: str | None = None
) -> None:
    """Copies into the module the one state dict that fits it; meta parameters take the checkpoint's tensors.

    Args:
        module: names and shapes decide.
        found: at least one state dict.
        source: the file, for messages.
        key, prefix: where in the file, and what to take off names. Default: None, what fits and leaves nothing out.

    Raises:
        InputError: no state dict fits, or several do, in one line.
    """
    try:
        weights = choose(module, found, key, prefix).weights
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    given = {name: weights[bare_name(name)] for name in module.state_dict() if bare_name(name) in weights}
    is_empty, shared = any(parameter.is_meta for parameter in module.parameters()), shared_names(module)
    try:
        module.load_state_dict(given, strict=False, assign=is_empty)
    except RuntimeError as error:
        raise InputError(f"{source}: {first_line(error, BRIEF)}") from None
    if is_empty:
        _share_again(module, shared, given)


def _share_again(module: nn.Module, shared: list[list[str]], given: Mapping[str, object]) -> None:
    """Assigned tensors are parameters of their own, also where the module had one under several names."""
    for names in shared:
        filled = module.get_parameter(next(name for name in names if name in given))
        for name in names:
            parent, _, attribute = name.rpartition(".")
            setattr(module.get_submodule(parent), attribute, filled)
