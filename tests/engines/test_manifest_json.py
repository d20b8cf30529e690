"""An engine's manifest: every field under its documented name, and read back in its own version alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attnexport.backends.building import Layer
from attnexport.engines.manifest import BuilderRecord, Manifest, ModelRecord, PluginRecord
from attnexport.engines.manifest_json import read_manifest, write_manifest
from attnexport.engines.names import manifest_path
from attnexport.errors import InputError
from attnexport.files.outputs import sha256
from attnexport.plugins.runtime.request import Profile
from tests.files.documented_json import assert_documented, assert_holds, never_set


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / "vit.engine"
    path.write_bytes(b"an engine")
    return path


@pytest.fixture
def manifest(engine: Path) -> Manifest:
    """With every field set."""
    return Manifest(
        engine_sha256=sha256(engine),
        engine_bytes=9,
        model=ModelRecord("vit.onnx", "5e" * 32, "fp32"),
        plugin=PluginRecord("lib.so", "6f" * 32, "0.5.0", "v3", (87, 89), 90, True),
        builder=BuilderRecord("tensorrt_rtx", "TensorRT-RTX", "1.7.1", "0.1.0"),
        target="rtx-40",
        sms=(89,),
        precision="fp16",
        precisions={"fp16": 0.75, "fp32": 0.25},
        layers_from="network",
        layers=(Layer("attention", "PLUGIN_V3", ("fp16",), "KrauseAttention"), Layer("größe", "CAST", ("fp32",))),
        plugin_nodes=("attention",),
        body_nodes=("head",),
        profiles={"x": Profile((1, 1, 16), (2, 6, 16), (8, 64, 16))},
        seconds=1.5,
        peak_bytes=1 << 30,
        notes=("a note",),
    )


@pytest.fixture
def written(engine: Path, manifest: Manifest) -> dict[str, Any]:
    write_manifest(manifest, engine)
    content: dict[str, Any] = json.loads(manifest_path(engine).read_text())
    return content


def test_every_field_of_a_manifest_is_in_json(manifest: Manifest, written: dict[str, Any]):
    assert not never_set(manifest)
    assert_holds(written, manifest, more={"Manifest.schema", "Manifest.format"})


def test_every_key_is_documented(written: dict[str, Any]):
    assert (written["schema"], written["format"]) == ("attnexport.engine/1", 1)
    assert_documented(written)


def test_a_layer_a_line(engine: Path, manifest: Manifest, written: dict[str, Any]):
    lines = manifest_path(engine).read_text().splitlines()
    found = [json.loads(line.strip(" ,")) for line in lines if line.startswith("  {")]
    assert found == written["layers"]


def test_what_was_written_is_read(engine: Path, manifest: Manifest, written: dict[str, Any]):
    assert read_manifest(engine) == manifest


def test_manifests_without_schema_are_of_the_version_in_format(
    engine: Path, manifest: Manifest, written: dict[str, Any]
):
    del written["schema"]
    manifest_path(engine).write_text(json.dumps(written))
    assert read_manifest(engine) == manifest


@pytest.mark.parametrize(
    ("change", "given"),
    [
        ({"schema": "attnexport.engine/2", "more": 1}, '"attnexport.engine/2"'),
        ({"schema": "attnexport.run/1"}, '"attnexport.run/1"'),
        ({"schema": 1}, "1"),
        ({"schema": None, "format": 2}, '"attnexport.engine/2"'),
        ({"schema": None, "format": None}, "null"),
    ],
    ids=str,
)
def test_another_schema_is_refused(engine: Path, written: dict[str, Any], change: dict[str, Any], given: str):
    changed = {name: value for name, value in {**written, **change}.items() if value is not None}
    manifest_path(engine).write_text(json.dumps(changed))
    with pytest.raises(InputError) as refused:
        read_manifest(engine)
    assert str(refused.value) == (
        f"{manifest_path(engine)}: expected a manifest of format 1 of attnexport build: "
        f"schema: expected attnexport.engine/1, given {given}: build the engine again"
    )
