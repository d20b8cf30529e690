"""Chooses what builds the engines of a target."""

from __future__ import annotations

from attnexport.backends.building import EngineBuilder
from attnexport.errors import InputError
from attnexport.targets import Target

BACKENDS = ("tensorrt", "tensorrt_rtx", "native")


def builder_named(name: str) -> EngineBuilder:
    """The builder of that name.

    Raises:
        InputError: an unknown name.
        BackendError: it is not installed here.
    """
    if name == "tensorrt":
        from attnexport.backends.tensorrt import TensorRtBuilder

        return TensorRtBuilder()
    if name == "tensorrt_rtx":
        from attnexport.backends.tensorrt_rtx import TensorRtRtxBuilder

        return TensorRtRtxBuilder()
    if name == "native":
        from attnexport.backends.native import NativeBuilder

        return NativeBuilder()
    raise InputError(f"backend: expected one of {', '.join(BACKENDS)}, given {name!r}")


def builder_for(target: Target, name: str | None = None) -> EngineBuilder:
    """What builds a target's engines.

    Args:
        target: the device.
        name: of BACKENDS. Default: None, tensorrt_rtx for RTX targets, else tensorrt where its Python bindings are
            installed, else native.

    Raises:
        InputError: an unknown name, or a backend that does not build for this target.
        BackendError: it is not installed here.
    """
    target.check_backend(name)
    if name is not None:
        return builder_named(name)
    if target.is_rtx:
        return builder_named("tensorrt_rtx")
    from attnexport.backends.tensorrt import is_usable

    return builder_named("tensorrt" if is_usable() else "native")
