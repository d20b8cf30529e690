"""Engines of TensorRT-RTX for a compute capability, built on the CPU."""

from __future__ import annotations

import onnx_ir as ir
import tensorrt_rtx as trt

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

    def __init__(self, model: bytes) -> None:
        self.log = Log()
        self._builder = trt.Builder(self.log)
        flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        self.network = self._builder.create_network(flags)
        self._parser = trt.OnnxParser(self.network, self.log)
        errors = [] if self._parser.parse(model) else range(self._parser.num_errors)
        assert not errors, [self._parser.get_error(index).desc() for index in errors]

    def build(self, names: dict[str, list[int | str]], capability: trt.ComputeCapability) -> trt.IHostMemory:
        """The engine."""
        config = self._builder.create_builder_config()
        config.num_compute_capabilities = 1
        config.set_compute_capability(capability, 0)
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
