"""The module inside of what training put around it: compilers, parallel wrappers, averages, partial calls."""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from attnexport.errors import InputError, shortlist

_INNER: dict[str, str] = {
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "torch.distributed.algorithms._checkpoint.checkpoint_wrapper.CheckpointWrapper": "_checkpoint_wrapped_module",
}
"""Wrappers by name that torch imports only when they are used, and the attribute with the module inside."""

_SPREAD = ("FullyShardedDataParallel", "FSDPModule")


def inner(module: nn.Module) -> nn.Module:
    """The module without the wrappers around it: torch.compile, DataParallel, DDP, averages, activation checkpoints.

    Raises:
        InputError: TorchScript, or weights that FSDP has spread over processes.
    """
    while (wrapped := _wrapped(module)) is not None:
        module = wrapped
    return module


def _wrapped(module: nn.Module) -> nn.Module | None:
    _refuse_compiled(module)
    _refuse_spread(module)
    if isinstance(module, (DataParallel, DistributedDataParallel, AveragedModel)):
        return module.module
    for kind in type(module).__mro__:
        attribute = _INNER.get(f"{kind.__module__}.{kind.__qualname__}")
        if attribute is not None:
            found = getattr(module, attribute)
            assert isinstance(found, nn.Module)
            return found
    return None


def _refuse_compiled(module: object) -> None:
    if isinstance(module, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
        raise InputError(
            "the model is TorchScript (torch.jit), compiled code that torch.export does not take: give the nn.Module "
            "that it was made from"
        )


def _refuse_spread(module: nn.Module) -> None:
    if any(kind.__name__ in _SPREAD and kind.__module__.startswith("torch.") for kind in type(module).__mro__):
        raise InputError(
            "the model is wrapped by FSDP, which spreads its weights over processes: gather them with "
            "torch.distributed.checkpoint.state_dict.get_model_state_dict (full_state_dict=True) and load them into "
            "the bare module"
        )


def module_of(model: object) -> tuple[nn.Module, Callable[..., Any]]:
    """The bare module of a model and what to call in place of its forward.

    Args:
        model: a module, wrapped or not; functools.partial of one; or a method of one.

    Raises:
        InputError: something else, or a wrapper whose module cannot be had.
    """
    if isinstance(model, functools.partial):
        module, forward = module_of(model.func)
        return module, functools.partial(forward, *model.args, **model.keywords)
    if isinstance(model, types.MethodType) and isinstance(model.__self__, nn.Module):
        return inner(model.__self__), model
    _refuse_compiled(model)
    if not isinstance(model, nn.Module):
        raise InputError(f"model: expected an nn.Module or an ExportedProgram, given a {type(model).__name__}")
    module = inner(model)
    return module, module.forward


def notes_on_training(model: object) -> tuple[str, ...]:
    """A sentence for a module that is, or has parts, in training mode: exports are of eval mode.

    Raises:
        InputError: as :func:`module_of`.
    """
    module, _ = module_of(model)
    training = [name for name, part in module.named_modules() if part.training]
    if not training:
        return ()
    what = f"{shortlist(training)} of the model" if "" not in training else "the model"
    return (f"{what} was in training mode: it was exported in eval mode",)


@contextlib.contextmanager
def bare(model: object) -> Iterator[nn.Module]:
    """The module as torch.export takes it: no wrapper around it or around its parts, in eval mode.

    Wrappers, training flags and forward are as before afterwards.
    """
    module, forward = module_of(model)
    with contextlib.ExitStack() as undo:
        if forward != module.forward:
            undo.callback(_restore_forward(module))
            module.forward = forward
        for part in [*module.modules()]:
            _refuse_compiled(part)
            _bare_parts(part, undo)
        _in_eval_mode(module, undo)
        yield module


def _restore_forward(module: nn.Module) -> Callable[[], None]:
    own = vars(module).get("forward")
    return functools.partial(setattr, module, "forward", own) if own is not None else lambda: delattr(module, "forward")


def _bare_parts(parent: nn.Module, undo: contextlib.ExitStack) -> None:
    if parent._compiled_call_impl is not None:
        undo.callback(setattr, parent, "_compiled_call_impl", parent._compiled_call_impl)
        parent._compiled_call_impl = None
    for name, child in parent._modules.items():
        if child is not None and (bare_child := inner(child)) is not child:
            undo.callback(parent._modules.__setitem__, name, child)
            parent._modules[name] = bare_child


def _in_eval_mode(module: nn.Module, undo: contextlib.ExitStack) -> None:
    training = [part for part in module.modules() if part.training]
    for part in training:
        undo.callback(setattr, part, "training", True)
    with contextlib.suppress(NotImplementedError):  # The module of an ExportedProgram has one mode only.
        module.eval()
