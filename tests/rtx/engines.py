"""Engines of TensorRT-RTX for a compute capability, built on the CPU."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import onnx_ir as ir
import tensorrt_rtx as trt

CAPABILITIES = {"sm86": trt.ComputeCapability.SM86, "sm120": trt.ComputeCapability.SM120}
RANGES = {"batch": (1, 2, 8), "tokens": (2, 64, 256), "length": (2, 64, 256), "rows": (1, 32, 64), "keys": (8, 32, 64)}


class Log(trt.ILogger):
    """Keeps errors for the assertion message."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[str] = []

    def log(self, severity, text: str) -> None:
        if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
            self.errors.append(text)


class Parsed:
    """A model as NVIDIA's parser understands it."""

    def __init__(self, model: bytes, libraries: Iterable[Path] = ()) -> None:
        self.log = Log()
        self._builder = trt.Builder(self.log)
        for library in libraries:
            assert self._builder.get_plugin_registry().load_library(str(library)) is not None, self.log.errors
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        self.network = self._builder.create_network(flags)
        self._parser = trt.OnnxParser(self.network, self.log)
        errors = [] if self._parser.parse(model) else range(self._parser.num_errors)
        assert not errors, [self._parser.get_error(index).desc() for index in errors]

    @property
    def plugins(self) -> list[str]:
        """Names of the layers that are plugins."""
        layers = (self.network.get_layer(index) for index in range(self.network.num_layers))
        return [layer.name for layer in layers if layer.type == trt.LayerType.PLUGIN_V3]

    def build(
        self, names: dict[str, list[int | str]], capability: trt.ComputeCapability, embedded: Iterable[Path] = ()
    ) -> trt.IHostMemory:
        """The engine, with these libraries inside."""
        config = self._builder.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(capability, 0)
        config.plugins_to_serialize = [str(library) for library in embedded]
        profile = self._builder.create_optimization_profile()
        for name, sizes in names.items():
            picks = ([size if isinstance(size, int) else RANGES[size][pick] for size in sizes] for pick in range(3))
            profile.set_shape(name, *picks)
        config.add_optimization_profile(profile)
        engine = self._builder.build_serialized_network(self.network, config)
        assert engine is not None, self.log.errors
        return engine


def input_sizes(model: ir.Model) -> dict[str, list[int | str]]:
    """The sizes of every input, dynamic ones by name."""
    return {
        value.name: [size if isinstance(size, int) else size.value for size in value.shape]
        for value in model.graph.inputs
    }
