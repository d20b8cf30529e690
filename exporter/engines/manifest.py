"""What is known of an engine: what it was built from, by what, for what, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from attnexport.backends.building import Layer
from attnexport.plugins.runtime.request import Profile

FLOATS = ("fp32", "fp16", "bf16", "fp8", "fp4")


@dataclass(frozen=True)
class ModelRecord:
    """The ONNX file.

    Attributes:
        file: its name.
        sha256: of the file as it was given.
        precision: what its Q/DQ nodes round to, as int8 or fp8, else its floating precision before the build wrote
            another one.
    """

    file: str
    sha256: str
    precision: str


@dataclass(frozen=True)
class PluginRecord:
    """The plugin library.

    Attributes:
        file: its name.
        sha256: of the file.
        version: of the attnexport that built it, or None.
        api: its plugin interface.
        sms: compute capabilities that it has machine code for, as 90.
        ptx: compute capability of its PTX, or None.
        embedded: whether the engine carries it.
    """

    file: str
    sha256: str
    version: str | None
    api: str | None
    sms: tuple[int, ...]
    ptx: int | None
    embedded: bool


@dataclass(frozen=True)
class BuilderRecord:
    """What built the engine.

    Attributes:
        backend: tensorrt, tensorrt_rtx or native.
        product: TensorRT or TensorRT-RTX.
        version: of it, as 10.3.0.
        attnexport: version of this package.
    """

    backend: str
    product: str
    version: str
    attnexport: str


@dataclass(frozen=True)
class Manifest:
    """An engine's description.

    Attributes:
        engine_sha256: of the engine.
        engine_bytes: its size.
        model: the ONNX file.
        plugin: the plugin library, or None.
        builder: what built it.
        target: name of the target.
        sms: compute capabilities that it runs on.
        precision: what the file's Q/DQ nodes round to, else what was asked for, else what the file held.
        precisions: share of the layers' outputs by type.
        layers_from: "engine" where the layers are the engine's own, "network" where they are those that went into the
            builder, because the engine cannot be opened where it was built.
        layers: every layer.
        plugin_nodes: the ONNX nodes that became plugins.
        body_nodes: the attention nodes that run through their bodies.
        profiles: shapes that it takes, by input; static inputs are left out.
        seconds: of building.
        peak_bytes: largest resident size of the building process, or None.
        notes: what a user should know, one sentence each.
    """

    engine_sha256: str
    engine_bytes: int
    model: ModelRecord
    plugin: PluginRecord | None
    builder: BuilderRecord
    target: str
    sms: tuple[int, ...]
    precision: str
    precisions: dict[str, float]
    layers_from: str
    layers: tuple[Layer, ...]
    plugin_nodes: tuple[str, ...]
    body_nodes: tuple[str, ...]
    profiles: dict[str, Profile]
    seconds: float
    peak_bytes: int | None
    notes: tuple[str, ...]


def precision_shares(layers: Sequence[Layer]) -> dict[str, float]:
    """Share of the layers' outputs by type, the largest first, to four digits."""
    counted = Counter(precision for layer in layers for precision in layer.precisions)
    total = sum(counted.values())
    return {name: round(count / total, 4) for name, count in counted.most_common()}
