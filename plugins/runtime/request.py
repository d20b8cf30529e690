"""What engines are built with, whoever builds them; and what attnrt is told of it and answers."""

from __future__ import annotations

from collections.abc import Mapping
from ctypes import Array
from dataclasses import dataclass, field
from pathlib import Path

from attnexport.errors import BackendError
from attnexport.plugins.runtime.interface import MAX_RANK, CBuildRequest, CProfile, path_or_none


@dataclass(frozen=True)
class Profile:
    """Shapes of one input for which an engine is built.

    Attributes:
        minimum, optimum, maximum: equal where the shape is static.
    """

    minimum: tuple[int, ...]
    optimum: tuple[int, ...]
    maximum: tuple[int, ...]


@dataclass(frozen=True)
class EngineOptions:
    """What an engine of an ONNX file is built with.

    Attributes:
        profiles: by input name; a builder needs one for every input with a dynamic size. Default: none.
        precision: fp32, fp16 or bf16; only weakly typed builders (TensorRT 8.x) look at it. Default: None, what the
            file holds.
        plugins: the plugin library to load. Default: None, attention nodes run through their bodies.
        embed_plugins: put that library into the engine. Default: False.
        timing_cache: a file read if it is there and written afterwards. Default: None.
        sms: compute capabilities as 86, for builders that build ahead of time; others build for the GPU they run
            on. Default: none given.
        workspace_bytes: most scratch memory a layer may use. Default: None, the builder's own.
    """

    profiles: Mapping[str, Profile] = field(default_factory=dict)
    precision: str | None = None
    plugins: Path | None = None
    embed_plugins: bool = False
    timing_cache: Path | None = None
    sms: tuple[int, ...] = ()
    workspace_bytes: int | None = None


def as_c(model: Path, options: EngineOptions, *, strongly_typed: bool) -> CBuildRequest:
    """A build of ``model`` as the C interface takes it; a strongly typed TensorRT is told no precision.

    Raises:
        BackendError: shapes of different ranks for one input.
    """
    cache = options.timing_cache
    measured = cache.read_bytes() if cache is not None and cache.exists() else b""
    return CBuildRequest(
        model=path_or_none(model),
        profiles=_profiles_as_c(options.profiles),
        num_profiles=len(options.profiles),
        allow_float16=int(options.precision == "fp16" and not strongly_typed),
        plugins=path_or_none(options.plugins),
        embed_plugins=int(options.embed_plugins),
        timing_cache=measured or None,
        timing_cache_bytes=len(measured),
        workspace_bytes=options.workspace_bytes or 0,
    )


def _profiles_as_c(profiles: Mapping[str, Profile]) -> Array[CProfile]:
    listed = (CProfile * len(profiles))()
    for c, (name, profile) in zip(listed, profiles.items(), strict=True):
        c.input, c.rank = name.encode(), len(profile.optimum)
        for sizes, given in (
            (c.minimum, profile.minimum),
            (c.optimum, profile.optimum),
            (c.maximum, profile.maximum),
        ):
            if len(given) != c.rank or c.rank > MAX_RANK:
                raise BackendError(f"{name}: expected shapes of one rank, at most {MAX_RANK}, given {profile}")
            sizes[: c.rank] = given
    return listed


@dataclass(frozen=True)
class Built:
    """What was built.

    Attributes:
        engine: serialised.
        timing_cache: for the next build; empty where TensorRT has none.
        plugin_nodes: types of the plugins by the names of the ONNX nodes that they run.
        warnings: TensorRT's, each once.
    """

    engine: bytes
    timing_cache: bytes
    plugin_nodes: Mapping[str, str]
    warnings: tuple[str, ...]
