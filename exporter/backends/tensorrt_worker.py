"""Builds an engine through TensorRT's Python bindings, in a process of its own: ``main(MODULE, FOLDER)``.

A parser or plugin that ends the process then takes nothing else with it, the peak memory is the build's, and libraries
are looked for where LD_LIBRARY_PATH said when the process started. FOLDER holds request.json, and gets answer.json and,
after a build, engine and, where one was asked for, timing_cache.
"""

from __future__ import annotations

import importlib
import json
import re
import resource
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from attnexport.backends.building import Layer
from attnexport.backends.engine_layers import EngineLayers, onnx_name, read_layers

REQUEST, ANSWER, ENGINE, TIMING_CACHE = "request.json", "answer.json", "engine", "timing_cache"
_PRECISIONS = {"FLOAT": "fp32", "HALF": "fp16"}
_USUAL = (
    # Every copy of a function body has nodes of the same names.
    "already exists, the output tensors of this new instance will not be queryable",
    # Said of every integer input.
    " has Int64 binding",
)


class _Failure(Exception):
    """What TensorRT said, in one line."""


class _Log:
    """What TensorRT logs as warning or error."""

    def __init__(self, trt: Any) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []
        severity = trt.ILogger.Severity
        kept = {
            severity.ERROR: self.errors,
            severity.INTERNAL_ERROR: self.errors,
            severity.WARNING: self.warnings,
        }

        class Logger(trt.ILogger):  # type: ignore[misc]
            def log(self, level: Any, text: str) -> None:
                # Without a GPU every error is followed by one that says so.
                if level in kept and "catchCudaError" not in text:
                    kept[level].append(" ".join(text.split()))

        self.logger = Logger()


def main(module: str, folder: Path) -> None:
    """Answers the request in the folder."""
    request = json.loads((folder / REQUEST).read_text())
    trt = importlib.import_module(module)
    log = _Log(trt)
    try:
        answer = _survey(trt, log, request) if request["task"] == "survey" else _build(trt, log, request, folder)
    except _Failure as failure:
        answer = {"failure": str(failure)}
    (folder / ANSWER).write_text(json.dumps(answer))


def _survey(trt: Any, log: _Log, request: Mapping[str, Any]) -> dict[str, Any]:
    """The plugin creators there are, and which operators the parser does not take."""
    builder = trt.Builder(log.logger)
    registry = _load(builder, log, request["plugins"])
    parser = trt.OnnxParser(_network(trt, builder), log.logger)
    # Since 10.10 the registry has parents.
    creators = registry.all_creators_recursive if hasattr(registry, "all_creators_recursive") else registry.all_creators
    return {
        "creators": [[item.name, item.plugin_version, item.plugin_namespace] for item in creators],
        "unknown_operators": [name for name in request["operators"] if not parser.supports_operator(name)],
        "capabilities": _known_capabilities(trt),
    }


def _build(trt: Any, log: _Log, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Parses, configures and builds; writes the engine."""
    start = time.perf_counter()
    builder = trt.Builder(log.logger)
    _load(builder, log, request["plugins"])
    network = _network(trt, builder)
    parser = trt.OnnxParser(network, log.logger)
    if not parser.parse_from_file(request["model"]):
        raise _Failure("; ".join(_parser_errors(parser)) or _last(log.errors))
    config = _configured(trt, builder, log, request)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise _Failure(_last(log.errors))
    seconds = time.perf_counter() - start
    if request["timing_cache"] is not None:
        (folder / TIMING_CACHE).write_bytes(config.get_timing_cache().serialize())
    (folder / ENGINE).write_bytes(engine)
    network_layers = [_network_layer(trt, network.get_layer(index)) for index in range(network.num_layers)]
    found = _engine_layers(trt, log, engine, request)
    return {
        "layers": [asdict(layer) for layer in found.layers or network_layers],
        "layers_from": "engine" if found.layers else "network",
        "unknown": found.unknown,
        "plugin_nodes": [layer.name for layer in network_layers if layer.plugin is not None],
        "messages": [text for text in dict.fromkeys(log.warnings) if not any(usual in text for usual in _USUAL)],
        "seconds": seconds,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _load(builder: Any, log: _Log, plugins: str | None) -> Any:
    registry = builder.get_plugin_registry()
    if plugins is not None and registry.load_library(plugins) is None:
        raise _Failure(f"{plugins}: the plugin library cannot be loaded: {_last(log.errors)}")
    return registry


def _network(trt: Any, builder: Any) -> Any:
    # Always on and deprecated in TensorRT 11, an option in 10.
    return builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))


def _parser_errors(parser: Any) -> list[str]:
    errors = (parser.get_error(index) for index in range(parser.num_errors))
    return [f"node {error.node_name()} ({error.node_operator()}): {' '.join(error.desc().split())}" for error in errors]


def _configured(trt: Any, builder: Any, log: _Log, request: Mapping[str, Any]) -> Any:
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.clear_flag(trt.BuilderFlag.TF32)
    if request["sms"]:
        config.num_compute_capabilities = len(request["sms"])
        for index, sm in enumerate(request["sms"]):
            config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{sm}"), index)
    if request["workspace_bytes"] is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request["workspace_bytes"])
    if request["embed_plugins"]:
        config.plugins_to_serialize = [request["plugins"]]
    if request["profiles"]:
        profile = builder.create_optimization_profile()
        for name, shapes in request["profiles"].items():
            profile.set_shape(name, shapes["minimum"], shapes["optimum"], shapes["maximum"])
        if config.add_optimization_profile(profile) < 0:
            raise _Failure(_last(log.errors))
    if request["timing_cache"] is not None:
        file = Path(request["timing_cache"])
        cache = config.create_timing_cache(file.read_bytes() if file.exists() else b"")
        if cache is None or not config.set_timing_cache(cache, False):
            raise _Failure(f"{file}: the timing cache is not one of this TensorRT")
    return config


def _network_layer(trt: Any, layer: Any) -> Layer:
    """A layer of the network, named as its ONNX node where there is one."""
    outputs = (layer.get_output(index) for index in range(layer.num_outputs))
    precisions = tuple(_PRECISIONS.get(output.dtype.name, output.dtype.name.lower()) for output in outputs)
    kind = layer.type.name.title().replace("_", "")
    if layer.type != trt.LayerType.PLUGIN_V3:
        return Layer(layer.name, kind, precisions)
    layer.__class__ = trt.IPluginV3Layer
    core = layer.plugin.get_capability_interface(trt.PluginCapabilityType.CORE)
    plugin = str(getattr(core, "plugin_name", kind))
    return Layer(onnx_name(layer.metadata, layer.name), kind, precisions, plugin)


def _engine_layers(trt: Any, log: _Log, engine: Any, request: Mapping[str, Any]) -> EngineLayers:
    """The engine's own layers; none where it cannot be opened, as without a GPU."""
    runtime = trt.Runtime(log.logger)
    runtime.engine_host_code_allowed = request["embed_plugins"]
    if request["plugins"] is not None and not request["embed_plugins"]:
        runtime.get_plugin_registry().load_library(request["plugins"])
    opened = runtime.deserialize_cuda_engine(engine)
    if opened is None:
        return EngineLayers(())
    inspector = opened.create_engine_inspector()
    try:
        said = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    except UnicodeDecodeError as error:
        said = error.object.decode(errors="replace")
    return read_layers(said)


def _known_capabilities(trt: Any) -> list[int]:
    """The compute capabilities that this TensorRT builds for ahead of time; none where it builds for its own GPU."""
    names = getattr(trt, "ComputeCapability", None)
    found = re.findall(r"\bSM(\d+)\b", " ".join(names.__members__)) if names is not None else []
    return sorted(int(number) for number in found)


def _last(errors: list[str]) -> str:
    return errors[-1] if errors else "no reason given"
