"""What builds engines: an ONNX file in, an engine and a list of its layers out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


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
class EngineRequest:
    """What to build.

    Attributes:
        model: an ONNX file; its precision is what a strongly typed builder builds.
        profiles: by input name, for every input with a dynamic size.
        precision: fp32, fp16 or bf16; only weakly typed builders (TensorRT 8.x) look at it.
        plugins: the plugin library to load, or None.
        embed_plugins: put that library into the engine. Default: False.
        timing_cache: a file read if it is there and written afterwards. Default: None.
        sms: compute capabilities as 86, for builders that build ahead of time; others build for the GPU they run
            on. Default: none given.
        workspace_bytes: most scratch memory a layer may use. Default: None, the builder's own.
    """

    model: Path
    profiles: Mapping[str, Profile]
    precision: str
    plugins: Path | None = None
    embed_plugins: bool = False
    timing_cache: Path | None = None
    sms: tuple[int, ...] = ()
    workspace_bytes: int | None = None


@dataclass(frozen=True)
class Layer:
    """A layer of an engine as the engine inspector reports it.

    Attributes:
        name: of the layer; a fused layer has the names of what went into it.
        kind: the builder's type of it, as PluginV3 or Reformat.
        precisions: types of its outputs, as fp16.
        plugin: type of the plugin that runs it, or None.
    """

    name: str
    kind: str
    precisions: tuple[str, ...]
    plugin: str | None = None


@dataclass(frozen=True)
class BuiltEngine:
    """What a builder built.

    Attributes:
        engine: the serialised engine.
        layers: of the engine, as far as they are known, or of the network where the builder's inspector says nothing
            about engines.
        plugin_nodes: names of the ONNX nodes that became plugins.
        messages: what the builder warned of, a line each.
        seconds: from parsing to the serialised engine.
        layers_from: "engine" or "network", what ``layers`` describe. Default: "engine".
        peak_bytes: largest resident size of the building process. Default: None, not measured.
        unknown: what is not known of the layers, a sentence. Default: None, all is known.
    """

    engine: bytes
    layers: tuple[Layer, ...]
    plugin_nodes: tuple[str, ...]
    messages: tuple[str, ...]
    seconds: float
    layers_from: str = "engine"
    peak_bytes: int | None = None
    unknown: str | None = None


class EngineBuilder(Protocol):
    """A TensorRT that builds engines."""

    @property
    def name(self) -> str:
        """tensorrt, tensorrt_rtx or native."""

    @property
    def product(self) -> str:
        """TensorRT or TensorRT-RTX."""

    @property
    def version(self) -> str:
        """Of the TensorRT it builds with, as 10.3.0."""

    @property
    def strongly_typed(self) -> bool:
        """Whether precision is that of the ONNX file, and no option."""

    def build(self, request: EngineRequest) -> BuiltEngine:
        """Builds an engine.

        Raises:
            BackendError: the builder fails, with its own words.
        """
