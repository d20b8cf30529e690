"""An engine's manifest as the JSON beside it, field by field: docs/report-formats.md has what each key means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attnexport.backends.building import Layer
from attnexport.engines.manifest import BuilderRecord, Manifest, ModelRecord, PluginRecord
from attnexport.engines.names import check_engine_files, manifest_path
from attnexport.errors import InputError
from attnexport.files.outputs import sha256
from attnexport.files.schemas import entries_of
from attnexport.files.typed_json import read_json, typed
from attnexport.plugins.runtime.request import Profile

FORMAT = 1
SCHEMA = f"attnexport.engine/{FORMAT}"


def write_manifest(manifest: Manifest, engine: Path) -> None:
    """Writes it beside the engine, an entry a line and a layer a line."""
    entries = as_json(manifest)
    layers = ",\n  ".join(json.dumps(layer) for layer in entries.pop("layers"))
    lines = [f" {json.dumps(name)}: {json.dumps(value, allow_nan=False)}" for name, value in entries.items()]
    text = "{\n" + ",\n".join([*lines, f' "layers": [\n  {layers}\n ]']) + "\n}\n"
    manifest_path(engine).write_text(text)


def read_manifest(engine: Path) -> Manifest:
    """Reads the manifest beside an engine.

    Raises:
        InputError: no engine, no manifest, or one that does not describe this engine.
    """
    check_engine_files(engine)
    path = manifest_path(engine)
    try:
        manifest: Manifest = typed(Manifest, entries_of(SCHEMA, read_json(path), "build the engine again"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a manifest of format {FORMAT} of attnexport build: {error}") from error
    given = sha256(engine)
    if given != manifest.engine_sha256:
        raise InputError(f"{engine}: expected SHA-256 {manifest.engine_sha256}, as {path.name} says, given {given}")
    return manifest


def as_json(manifest: Manifest) -> dict[str, Any]:
    """The manifest in plain types."""
    return {
        "schema": SCHEMA,
        "engine_sha256": manifest.engine_sha256,
        "engine_bytes": manifest.engine_bytes,
        "model": _model(manifest.model),
        "plugin": None if manifest.plugin is None else _plugin(manifest.plugin),
        "builder": _builder(manifest.builder),
        "target": manifest.target,
        "sms": manifest.sms,
        "precision": manifest.precision,
        "precisions": manifest.precisions,
        "layers_from": manifest.layers_from,
        "layers": [_layer(layer) for layer in manifest.layers],
        "plugin_nodes": manifest.plugin_nodes,
        "body_nodes": manifest.body_nodes,
        "profiles": {name: _profile(profile) for name, profile in manifest.profiles.items()},
        "seconds": manifest.seconds,
        "peak_bytes": manifest.peak_bytes,
        "notes": manifest.notes,
        "format": FORMAT,
    }


def _model(model: ModelRecord) -> dict[str, Any]:
    return {"file": model.file, "sha256": model.sha256, "precision": model.precision}


def _plugin(plugin: PluginRecord) -> dict[str, Any]:
    return {
        "file": plugin.file,
        "sha256": plugin.sha256,
        "version": plugin.version,
        "api": plugin.api,
        "sms": plugin.sms,
        "ptx": plugin.ptx,
        "embedded": plugin.embedded,
    }


def _builder(builder: BuilderRecord) -> dict[str, Any]:
    return {
        "backend": builder.backend,
        "product": builder.product,
        "version": builder.version,
        "attnexport": builder.attnexport,
    }


def _layer(layer: Layer) -> dict[str, Any]:
    return {"name": layer.name, "kind": layer.kind, "precisions": layer.precisions, "plugin": layer.plugin}


def _profile(profile: Profile) -> dict[str, Any]:
    return {"minimum": profile.minimum, "optimum": profile.optimum, "maximum": profile.maximum}
