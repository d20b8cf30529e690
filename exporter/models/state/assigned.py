"""What forward assigns to attributes, which torch.export forgets where a module inside does it.

``self.average = 0.9 * self.average + x`` binds a buffer to another tensor. While such a module is exported, what it
assigned is copied into the buffer that was there, as ``self.average.copy_(...)`` would, so that the program says so.
Attributes that are no buffers, as numbers, lists and caches, are noted in :mod:`attnexport.models.state.attributes`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.export import ExportedProgram

from attnexport.errors import ConversionError
from attnexport.models.state.attributes import Attribute, Attributes, attributes, changed, gives_other_outputs


class Assignments:
    """What one forward assigned."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._buffers: dict[tuple[str, str], Tensor | None] = {}
        self._attributes: Attributes = {}
        self._changed: list[Attribute] = []

    def remember(self) -> None:
        """Notes what the modules hold before forward."""
        self._buffers, self._attributes = _buffers(self._model), attributes(self._model)

    def settle(self) -> None:
        """Copies what forward assigned to buffers into those that were there before.

        Raises:
            ConversionError: a buffer became a tensor of another shape or type.
        """
        for (path, name), before in self._buffers.items():
            module = self._model.get_submodule(path)
            now = module._buffers.get(name)
            if now is before or now is None:
                continue
            if before is None:
                module._buffers[name] = None
                raise ConversionError(_made(f"{path}.{name}".lstrip(".")))
            _check_alike(f"{path}.{name}".lstrip("."), before, now)
            before.copy_(now.detach())
            module._buffers[name] = before
        self._changed = changed(self._attributes, attributes(self._model))

    def refuse_lost(self, program: ExportedProgram, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Refuses a model that reads what it assigned to attributes that are no buffers: a program fixes those.

        A program that holds the tensor that was there reads it. Of other attributes, a second call of the module tells.

        Args:
            program: of the model as it is.
            args: positional arguments of the example.
            kwargs: keyword arguments of the example.

        Raises:
            ConversionError: naming the attribute.
        """
        held = {id(tensor) for tensor in program.constants.values()}
        for attribute in self._changed:
            if attribute.path in program.constants or any(id(tensor) in held for tensor in attribute.tensors):
                raise ConversionError(_lost(attribute.path))
        if self._changed and gives_other_outputs(self._model, self._changed, args, kwargs):
            raise ConversionError(_lost(", ".join(attribute.path for attribute in self._changed)))


def _buffers(model: nn.Module) -> dict[tuple[str, str], Tensor | None]:
    return {(path, name): buffer for path, module in model.named_modules() for name, buffer in module._buffers.items()}


def _lost(paths: str) -> str:
    return (
        f"attribute {paths}: forward changes it and what it computes depends on it, which a program does not hold: "
        "make it a buffer with register_buffer, or leave it as it is"
    )


def _made(path: str) -> str:
    return (
        f"buffer {path}: forward makes it, given None: a state has its shape and type from the start, so register it "
        "with a tensor"
    )


def _check_alike(path: str, before: Tensor, now: Tensor) -> None:
    if before.shape != now.shape or before.dtype != now.dtype:
        raise ConversionError(
            f"buffer {path}: forward assigns {tuple(now.shape)} {now.dtype} to it, given {tuple(before.shape)} "
            f"{before.dtype}: a state keeps its shape and type from call to call"
        )


@contextlib.contextmanager
def assignments_kept(model: nn.Module) -> Iterator[Assignments]:
    """While a model is exported, turns what its forward assigns to buffers into writes that torch.export sees."""
    found = Assignments(model)
    before = model.register_forward_pre_hook(lambda module, args: found.remember(), prepend=True)
    after = model.register_forward_hook(lambda module, args, outputs: found.settle())
    try:
        yield found
    finally:
        before.remove()
        after.remove()
