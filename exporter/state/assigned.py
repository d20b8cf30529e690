"""What forward assigns to attributes, which torch.export forgets where a module inside does it.

``self.average = 0.9 * self.average + x`` binds a buffer to another tensor. While such a module is exported, what it
assigned is copied into the buffer that was there, as ``self.average.copy_(...)`` would, so that the program says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.export import ExportedProgram

from attnexport.errors import ConversionError

_Values = dict[tuple[str, str], Any]


class Assignments:
    """What one forward assigned."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._buffers: _Values = {}
        self._others: _Values = {}
        self._tensors: list[str] = []
        self._numbers: _Values = {}

    def remember(self) -> None:
        """Notes what the modules hold before forward."""
        self._buffers, self._others = _held(self._model, "_buffers"), _held(self._model, "__dict__")

    def settle(self) -> None:
        """Copies what forward assigned to buffers into those that were there before.

        Raises:
            ConversionError: a buffer became a tensor of another shape or type.
        """
        for (path, name), before in self._buffers.items():
            module = self._model.get_submodule(path)
            now = module._buffers.get(name)
            if now is before or before is None or now is None:
                continue
            _check_alike(f"{path}.{name}".lstrip("."), before, now)
            before.copy_(now.detach())
            module._buffers[name] = before
        for (path, name), now in _held(self._model, "__dict__").items():
            before = self._others.get((path, name))
            if isinstance(now, Tensor) and isinstance(before, Tensor) and now is not before:
                self._tensors.append(f"{path}.{name}".lstrip("."))
            elif isinstance(now, (int, float)) and isinstance(before, (int, float)) and now != before:
                self._numbers[path, name] = now

    def refuse_lost(self, program: ExportedProgram, export: Callable[[], ExportedProgram]) -> None:
        """Refuses a model that reads what it assigned to attributes that are no buffers: a program fixes those.

        Args:
            program: of the model as it is.
            export: exports it again, which tells what depends on numbers that forward changed.

        Raises:
            ConversionError: naming the attribute.
        """
        for path in self._tensors:
            if path in program.constants:
                raise ConversionError(_lost(path))
        if not self._numbers:
            return
        with self._after_a_call():
            code = export().graph_module.code
        if code != program.graph_module.code:
            raise ConversionError(_lost(", ".join(f"{path}.{name}".lstrip(".") for path, name in self._numbers)))

    @contextlib.contextmanager
    def _after_a_call(self) -> Iterator[None]:
        before = {key: getattr(self._model.get_submodule(key[0]), key[1]) for key in self._numbers}
        try:
            for (path, name), now in self._numbers.items():
                setattr(self._model.get_submodule(path), name, now)
            yield
        finally:
            for (path, name), value in before.items():
                setattr(self._model.get_submodule(path), name, value)


def _held(model: nn.Module, where: str) -> _Values:
    kinds = Tensor if where == "_buffers" else (Tensor, int, float)
    return {
        (path, name): value
        for path, module in model.named_modules()
        for name, value in getattr(module, where).items()
        if isinstance(value, kinds) and name != "training"
    }


def _lost(paths: str) -> str:
    return (
        f"attribute {paths}: forward changes it and what it computes depends on it, which a program does not hold: "
        "make it a buffer with register_buffer, or leave it as it is"
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
