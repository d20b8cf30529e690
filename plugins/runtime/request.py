"""What attnrt builds, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from attnexport.errors import BackendError
from attnexport.plugins.runtime.engine import Shapes
from attnexport.plugins.runtime.interface import MAX_RANK, CBuildRequest, CProfile, path_or_none


@dataclass(frozen=True)
class BuildRequest:
    """What to build.

    Attributes:
        model: an ONNX file.
        shapes: by name, for every input with a dynamic size.
        allow_float16: let a weakly typed TensorRT, which is 8.x, use float16. Default: False.
        plugins: a plugin library. Default: None.
        embed_plugins: put that library into the engine. Default: False.
        timing_cache: of an earlier build. Default: none.
        workspace_bytes: most scratch memory of a layer. Default: None, TensorRT's own choice.
    """

    model: Path
    shapes: Mapping[str, Shapes]
    allow_float16: bool = False
    plugins: Path | None = None
    embed_plugins: bool = False
    timing_cache: bytes = b""
    workspace_bytes: int | None = None

    def as_c(self) -> CBuildRequest:
        """For the C interface.

        Raises:
            BackendError: shapes of different ranks for one input.
        """
        profiles = (CProfile * len(self.shapes))()
        for c, (name, shapes) in zip(profiles, self.shapes.items(), strict=True):
            c.input, c.rank = name.encode(), len(shapes.optimum)
            for sizes, given in ((c.minimum, shapes.minimum), (c.optimum, shapes.optimum), (c.maximum, shapes.maximum)):
                if len(given) != c.rank or c.rank > MAX_RANK:
                    raise BackendError(f"{name}: expected shapes of one rank, at most {MAX_RANK}, given {shapes}")
                sizes[: c.rank] = given
        return CBuildRequest(
            model=path_or_none(self.model),
            profiles=profiles,
            num_profiles=len(profiles),
            allow_float16=int(self.allow_float16),
            plugins=path_or_none(self.plugins),
            embed_plugins=int(self.embed_plugins),
            timing_cache=self.timing_cache or None,
            timing_cache_bytes=len(self.timing_cache),
            workspace_bytes=self.workspace_bytes or 0,
        )


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
