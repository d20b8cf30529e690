"""An nn.Module from a factory in the user's code and weights, or from a pickle that the user trusts."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pickle
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attnexport.errors import InputError
from attnexport.loading.checkpoint_sizes import check_checkpoint

_CHECKPOINT_KEYS = ("state_dict", "model_state_dict", "model")
_WRAPPERS = ("module.", "_orig_mod.")


@contextlib.contextmanager
def _current_folder_importable() -> Iterator[None]:
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def module_from_factory(factory: str) -> tuple[nn.Module, str | None]:
    """Import ``pkg.module:name`` with the current folder on the path and call it without arguments.

    Returns:
        The module in eval mode, and the file that defines the factory (None when there is none).

    Raises:
        InputError: the text has another form, the import or the call fails, or it returns no nn.Module.
    """
    module_name, colon, attribute = factory.partition(":")
    if not colon or not module_name or not attribute:
        raise InputError(f"--model {factory}: expected pkg.module:factory, such as my_models.vit:build")
    with _current_folder_importable():
        try:
            source = importlib.import_module(module_name)
        except Exception as error:
            raise InputError(f"--model {factory}: cannot import {module_name}: {told(error)}") from None
        build: Any = source
        for part in attribute.split("."):
            if not hasattr(build, part):
                raise InputError(f"--model {factory}: {module_name} has no {attribute}")
            build = getattr(build, part)
        if isinstance(build, nn.Module) or not callable(build):
            raise InputError(
                f"--model {factory}: expected a function without arguments that returns an nn.Module, "
                f"given a {type(build).__name__}"
            )
        try:
            module = build()
        except Exception as error:
            raise InputError(f"--model {factory}: {attribute}() failed: {told(error)}") from None
    if not isinstance(module, nn.Module):
        raise InputError(
            f"--model {factory}: expected an nn.Module from {attribute}(), given a {type(module).__name__}"
        )
    return module.eval(), getattr(source, "__file__", None)


def told(error: BaseException) -> str:
    """An exception in one line, with the innermost place in the user's own code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((sys.prefix, sys.base_prefix, "<"))]
    own = [frame for frame in own if Path(frame.filename) != Path(__file__)]
    place = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {one_line(error)}{place}"


def one_line(error: BaseException | str) -> str:
    """The first line of a message that says something, at most 300 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def read_checkpoint(
    path: Path, data: bytes, *, trust_pickle: bool, warn: Callable[[str], None]
) -> nn.Module | dict[str, Tensor]:
    """What a file of torch.save holds: a state dict (a checkpoint's is taken out), or a trusted nn.Module.

    Raises:
        InputError: pickled objects without trust_pickle, a damaged file, or something else inside.
    """
    check_checkpoint(path, data)
    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        objects = _pickled_objects(data, error)
        if not objects:
            raise InputError(f"{path}: the file is truncated or damaged: torch.load says {one_line(error)}") from None
        if not trust_pickle:
            raise InputError(
                f"{path}: holds pickled Python objects ({objects}), and reading them can run any code on this "
                "machine: save the model with attnexport.save or torch.export.save instead, or its state dict with "
                "torch.save(model.state_dict(), ...), or pass --trust-pickle if you trust where it comes from"
            ) from None
        warn(
            f"{path}: --trust-pickle is given: unpickling {objects} can run any code on this machine; "
            "only do this with files whose origin you trust"
        )
        loaded = _unpickled(path, data)
    if isinstance(loaded, nn.Module):
        return loaded.eval()
    return state_dict_of(loaded, path)


def _pickled_objects(data: bytes, error: Exception) -> str:
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data))
    except Exception:
        names = re.findall(r"GLOBAL ([\w.]+)", str(error)) if isinstance(error, pickle.UnpicklingError) else []
    own = sorted(names, key=lambda name: (name.startswith(("torch.", "builtins.", "collections.")), name))
    return ", ".join(own[:3]) + (", ..." if len(own) > 3 else "")


def _unpickled(path: Path, data: bytes) -> object:
    try:
        with _current_folder_importable():
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"{path}: the class of a pickled object cannot be imported here ({one_line(error)}): run where its "
            "code is, or save the model there with attnexport.save"
        ) from None
    except Exception as error:
        raise InputError(f"{path}: unpickling failed: {told(error)}") from None


def state_dict_of(loaded: object, path: Path) -> dict[str, Tensor]:
    """The state dict in what torch.load returned: itself, or under one of the usual keys of a checkpoint."""
    candidates = [loaded]
    if isinstance(loaded, Mapping):
        candidates += [loaded[key] for key in _CHECKPOINT_KEYS if key in loaded]
    for candidate in candidates:
        if _is_state_dict(candidate):
            return _without_wrappers(dict(candidate))  # type: ignore[call-overload]
    given = f"a dict with the keys {', '.join(map(str, list(loaded)[:5]))}" if isinstance(loaded, Mapping) else ""
    raise InputError(
        f"{path}: expected a state dict, or a checkpoint with one under {', '.join(_CHECKPOINT_KEYS)}, "
        f"given {given or f'a {type(loaded).__name__}'}"
    )


def _is_state_dict(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and all(isinstance(key, str) for key in value)
        and any(isinstance(entry, Tensor) for entry in value.values())
        and not any(isinstance(entry, (Mapping, list, tuple)) for entry in value.values())
    )


def _without_wrappers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as the bare model has them: DistributedDataParallel and torch.compile put a prefix before each."""
    for prefix in _WRAPPERS * 2:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def fill_weights(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Copy a state dict into the module. Raises InputError: names or shapes that do not match, in one line."""
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise InputError(f"{source}: {_mismatch(module, state) or one_line(error)}") from None


def _mismatch(module: nn.Module, state: Mapping[str, Tensor]) -> str:
    own = module.state_dict()
    parts = []
    for label, names in (
        ("missing", [name for name in own if name not in state]),
        ("unexpected", [name for name in state if name not in own]),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            parts.append(f"{label}: {', '.join(names[:3])}{more}")
    wrong = [
        f"{name}: expected {tuple(own[name].shape)}, given {tuple(value.shape)}"
        for name, value in state.items()
        if name in own and isinstance(own[name], Tensor) and own[name].shape != value.shape
    ]
    parts += wrong[:2] + ([f"and {len(wrong) - 2} more shapes"] if len(wrong) > 2 else [])
    if not parts:
        return ""
    return f"the weights do not fit the {type(module).__name__} of --model ({'; '.join(parts)})"
