"""What builds engines: an ONNX file in, an engine and a list of its layers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from attnexport.errors import InputError
from attnexport.files.outputs import replacing
from attnexport.plugins.runtime.request import EngineOptions


@dataclass(frozen=True)
class Creator:
    """A plugin creator of a registry."""

    name: str
    version: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.namespace or '(no namespace)'}::{self.name} version {self.version}"


@dataclass(frozen=True)
class Survey:
    """What a TensorRT says before it parses a file.

    Attributes:
        creators: plugins that it finds with the library loaded.
        unknown_operators: of those asked about, the operators that its parser does not take.
        capabilities: compute capabilities, as 86, that it builds for ahead of time; empty where it builds for the
            GPU it runs on.
    """

    creators: tuple[Creator, ...]
    unknown_operators: frozenset[str]
    capabilities: tuple[int, ...]


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
        notes: what did not work beside the engine, one sentence each. Default: none.
    """

    engine: bytes
    layers: tuple[Layer, ...]
    plugin_nodes: tuple[str, ...]
    messages: tuple[str, ...]
    seconds: float
    layers_from: str = "engine"
    peak_bytes: int | None = None
    unknown: str | None = None
    notes: tuple[str, ...] = ()


class EngineBuilder(Protocol):
    """A TensorRT that builds engines.

    Attributes:
        name: tensorrt, tensorrt_rtx or native.
        product: TensorRT or TensorRT-RTX.
        version: of the TensorRT it builds with, as 10.3.0.
        strongly_typed: whether precision is that of the ONNX file, and no option: from TensorRT 10 on.
    """

    name: str
    product: str
    version: str
    strongly_typed: bool

    def survey(self, plugins: Path | None, operators: Sequence[str]) -> Survey | None:
        """What it says of a plugin library and of operators before it parses a file; None where it cannot be asked.

        Raises:
            BackendError: the library cannot be loaded.
        """
        return None

    def build(self, model: Path, options: EngineOptions) -> BuiltEngine:
        """Builds an engine of an ONNX file; a strongly typed builder takes the precision from the file.

        Raises:
            BackendError: the builder fails, with its own words.
        """


def keep_timing_cache(path: Path, content: bytes) -> tuple[str, ...]:
    """Writes what a builder timed for the next build. Where that fails a note says so: the engine is built already."""
    try:
        with replacing(path) as staging:
            (staging / path.name).write_bytes(content)
    except (InputError, OSError) as error:
        return (f"the timing cache was not kept, and the next build times every layer again: {error}",)
    return ()
