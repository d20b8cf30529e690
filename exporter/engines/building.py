"""From an ONNX file to an engine and its manifest."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx_ir as ir

from attnexport.backends.building import BuiltEngine, EngineBuilder, Survey
from attnexport.backends.choosing import builder_for
from attnexport.display.progress import Progress, unheard
from attnexport.engines.build_options import BuildOptions, build_options
from attnexport.engines.draft import Draft, limits_of
from attnexport.engines.manifest import (
    BuilderRecord,
    Manifest,
    ModelRecord,
    PluginRecord,
    precision_shares,
)
from attnexport.engines.manifest_json import write_manifest
from attnexport.engines.model_file import read_with_weights
from attnexport.engines.outcome import check_outcome
from attnexport.engines.preflight import check_files, check_nodes
from attnexport.engines.preflight.operators import every_operator, suspects
from attnexport.engines.shapes import profiles_for
from attnexport.errors import BackendError, InputError
from attnexport.files.outputs import replacing, sha256
from attnexport.files.staging import work_folder
from attnexport.graph.file_precision import precision_of
from attnexport.graph.nodes import variant_nodes
from attnexport.graph.precision import check_precision, write_precision
from attnexport.graph.quantization import quantized_precision
from attnexport.graph.tensorrt8 import widen_quantized_weights
from attnexport.messages import count, option
from attnexport.plugins.building.architectures import gpus_of_this_machine
from attnexport.plugins.calling.library import load_library
from attnexport.targets import Target
from attnexport.version import __version__

_MESSAGES = 10
"""Warnings of a builder that become notes; what comes after says the same of other layers."""


def build(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    target: str,
    plugins: str | os.PathLike[str] | None = None,
    shapes: Sequence[str] = (),
    precision: str | None = None,
    embed_plugins: bool = False,
    timing_cache: str | os.PathLike[str] | None = None,
    backend: str | None = None,
    progress: Progress = unheard,
) -> Manifest:
    """Builds an engine from an ONNX file and writes it, with its manifest beside it, or writes nothing.

    Targets of TensorRT-RTX are built for ahead of time, without a GPU; others on the device. The file is looked at
    first, so that what cannot be built is said by its cause.

    Args:
        model: the ONNX file.
        output: the engine to write: an .engine, .plan or .trt.
        target: a name of ``attnexport.targets.TARGETS``.
        plugins: the plugin library. Default: None, attention nodes run through their bodies.
        shapes: of inputs, as ``x=1x16x64:8x128x64:32x1024x64``. Default: those that the ranges in the file give.
        precision: fp32, fp16 or bf16. Default: None, what the file holds.
        embed_plugins: put the library into the engine. Default: False.
        timing_cache: a file that is read if it is there and written afterwards. Default: None.
        backend: tensorrt, tensorrt_rtx or native. Default: None, the target's.
        progress: is told of each step, and the share of it that is done or None. Default: nobody is.

    Raises:
        InputError: what cannot be built, by its cause.
        BackendError: the builder is not installed or fails, or what it built is not what was asked for.
    """
    options = build_options(
        target=target,
        plugins=None if plugins is None else Path(plugins),
        shapes=shapes,
        precision=precision,
        embed_plugins=embed_plugins,
        timing_cache=None if timing_cache is None else Path(timing_cache),
        backend=backend,
    )
    return build_engine(Path(model), Path(output), options, progress)


def build_engine(model: Path, output: Path, options: BuildOptions, progress: Progress = unheard) -> Manifest:
    """Builds an engine as :func:`build` does; ``output`` ends in one of ENGINE_SUFFIXES."""
    progress(f"looking at {model.name}", None)
    target = options.check(model, output)
    builder = builder_for(target, options.backend)
    sms = _gpus(target)
    draft, changes = _draft(model, target, builder, options)
    notes = [*_notes_on_target(target, builder, options), *changes, *check_files(draft)]
    survey = builder.survey(options.engine.plugins, every_operator(draft.model))
    check_nodes(draft, survey)
    progress(f"building with {builder.product} {builder.version}", None)
    built = _build(draft, builder, options, survey)
    check_outcome(draft, built)
    progress(f"writing {output.name}", None)
    quantized = quantized_precision(draft.model)
    notes += [f"{draft.limits.product} warns: {message}" for message in built.messages[:_MESSAGES]]
    notes += [*([] if built.unknown is None else [built.unknown]), *built.notes]
    with replacing(output) as staging:
        engine = staging / output.name
        engine.write_bytes(built.engine)
        manifest = Manifest(
            engine_sha256=sha256(engine),
            engine_bytes=len(built.engine),
            model=ModelRecord(model.name, sha256(model), quantized or draft.held),
            plugin=_plugin_record(draft, options),
            builder=BuilderRecord(builder.name, builder.product, builder.version, __version__),
            target=target.name,
            sms=sms,
            precision=quantized or draft.precision,
            precisions=precision_shares(built.layers),
            layers_from=built.layers_from,
            layers=built.layers,
            plugin_nodes=built.plugin_nodes,
            body_nodes=_body_nodes(draft, built),
            profiles=dict(draft.profiles),
            seconds=round(built.seconds, 3),
            peak_bytes=built.peak_bytes,
            notes=tuple(notes),
        )
        write_manifest(manifest, staging / output.name)
    return manifest


def _notes_on_target(target: Target, builder: EngineBuilder, options: BuildOptions) -> list[str]:
    because = f"because of target {target.name}: "
    product = f"{builder.product} {builder.version}"
    if target.is_rtx:
        notes = [f"{because}built ahead of time by {product} for SM {' '.join(map(str, target.sms))}"]
        if options.engine.timing_cache is not None:
            notes.append(f"{because}{option('--timing-cache')} has no effect, {product} times nothing ahead of time")
        return notes
    notes = [f"{because}built by {product}, backend {builder.name}"]
    if not target.runs_tensorrt(builder.version):
        notes.append(f"target {target.name} has TensorRT {target.tensorrt}: this engine loads in {product} alone")
    if not builder.strongly_typed:
        notes.append(f"{because}{product} takes precision as an option, and may run a layer in fp32 all the same")
    return notes


def _gpus(target: Target) -> tuple[int, ...]:
    """Compute capabilities that the engine will be for."""
    here = gpus_of_this_machine()
    if target.is_rtx or not here:
        return target.sms
    fitting = tuple(sm for sm in here if sm in target.sms)
    if not fitting:
        wanted, given = " ".join(map(str, target.sms)), " ".join(map(str, here))
        raise InputError(
            f"{option('--target')}: {target.name} is SM {wanted}, the GPU of this machine is SM {given}: TensorRT "
            "builds for the GPU it runs on, so build on the device"
        )
    return fitting


def _draft(model: Path, target: Target, builder: EngineBuilder, options: BuildOptions) -> tuple[Draft, list[str]]:
    """What is to be built, the precision written into it, and notes on what that did."""
    graph, notes = read_with_weights(model), []
    profiles = profiles_for(graph, options.engine.profiles)
    held = precision_of(graph)
    precision = options.engine.precision or held
    check_precision(graph, precision)
    rewritten = builder.strongly_typed and precision != held
    if rewritten:
        change = write_precision(graph, precision)
        notes.append(f"{builder.product} takes precision from the file: {change}")
        notes += change.notes
    if not builder.strongly_typed:
        widened = widen_quantized_weights(graph)
        rewritten = widened > 0
        if widened:
            why = f"{builder.product} {builder.version} takes no weights in int8"
            notes.append(f"{why}: it was given {count(widened, 'weight')} in float32, to round to the same numbers")
    nodes = variant_nodes(graph.graph)
    plugins = options.engine.plugins
    library = None if plugins is None else load_library(plugins)
    if library is None and nodes:
        notes.append(f"without a plugin library {len(nodes)} attention nodes run through their bodies")
    draft = Draft(
        path=model,
        model=graph,
        target=target,
        limits=limits_of(target, builder),
        held=held,
        precision=precision,
        rewritten=rewritten,
        profiles=profiles,
        attention_nodes=tuple(nodes),
        library=library,
    )
    return draft, notes


def _build(draft: Draft, builder: EngineBuilder, options: BuildOptions, survey: Survey | None) -> BuiltEngine:
    is_rtx = draft.target.is_rtx
    with work_folder() as work:
        model = _file_to_build(draft, work)
        resolved = replace(options.engine, profiles=draft.profiles, precision=draft.precision, sms=())
        if is_rtx:
            resolved = replace(resolved, timing_cache=None, sms=draft.target.sms)
        try:
            return builder.build(model, resolved)
        except BackendError as error:
            doubtful = suspects(draft) if survey is None else []
            advice = f" (operators that TensorRT 10.1 did not know: {', '.join(doubtful)})" if doubtful else ""
            said = str(error).removeprefix(f"{model}: ")
            raise BackendError(f"{draft.path}: {said}{advice}") from error


def _file_to_build(draft: Draft, work: Path) -> Path:
    """The user's file, or a copy of what is to be built in its place."""
    if not draft.rewritten:
        return draft.path
    copy = work / "model.onnx"
    ir.save(draft.model, copy, external_data=f"{copy.name}.data")
    return copy


def _plugin_record(draft: Draft, options: BuildOptions) -> PluginRecord | None:
    if draft.library is None:
        return None
    info = draft.library.info
    return PluginRecord(
        file=draft.library.path.name,
        sha256=sha256(draft.library.path),
        version=info.version,
        api=info.api,
        sms=info.architectures,
        ptx=info.ptx,
        embedded=options.engine.embed_plugins,
    )


def _body_nodes(draft: Draft, built: BuiltEngine) -> tuple[str, ...]:
    names = (node.name or "" for node, _ in draft.attention_nodes)
    return tuple(name for name in names if name not in built.plugin_nodes)
