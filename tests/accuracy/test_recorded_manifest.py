"""The manifest of a recorded set: every field under its documented name, and read in its own version alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from attnexport.accuracy.recorded import standalone
from attnexport.accuracy.recorded.manifest import Allowed, RecordedBatch, SetManifest
from attnexport.accuracy.recorded.manifest_json import read_manifest, write_manifest
from attnexport.accuracy.recorded.places import MANIFEST
from attnexport.errors import InputError
from attnexport.files.outputs import sha256
from tests.files.documented_json import assert_documented, assert_holds, never_set


@pytest.fixture
def manifest(tmp_path: Path) -> SetManifest:
    """Of a set whose files hold anything, with every field set."""
    names = [f"{part}/normal-0.npz" for part in ("inputs", "reference")]
    for name in names:
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(name)
    allowed = {"logits": Allowed(1e-3, 2.5e-3, 0, 0.125), "labels": Allowed(0.0, 0.0, 3)}
    return SetManifest(
        model="vit.pt2",
        model_sha256="5e" * 32,
        source_hash="6f" * 32,
        seed=7,
        outputs={"logits": "float32", "labels": "int64"},
        batches=(RecordedBatch("normal-0", "normal", {name: sha256(tmp_path / name) for name in names}),),
        allowed={"fp16": {"normal": allowed}},
        environment={"torch": "2.13.0"},
    )


@pytest.fixture
def written(tmp_path: Path, manifest: SetManifest) -> dict[str, Any]:
    write_manifest(manifest, tmp_path)
    content: dict[str, Any] = json.loads((tmp_path / MANIFEST).read_text(encoding="utf-8"))
    return content


def test_every_field_of_a_manifest_is_in_json(manifest: SetManifest, written: dict[str, Any]):
    assert not never_set(manifest)
    assert_holds(written, manifest, more={"SetManifest.schema", "SetManifest.format"})


def test_every_key_is_documented(written: dict[str, Any]):
    assert (written["schema"], written["format"]) == ("attnexport.recorded-set/1", 1)
    assert_documented(written)


def test_what_was_written_is_read_by_both_readers(tmp_path: Path, manifest: SetManifest, written: dict[str, Any]):
    assert read_manifest(tmp_path) == manifest
    assert standalone.read_set(tmp_path, "fp16") == written


def test_sets_without_schema_are_of_the_version_in_format(
    tmp_path: Path, manifest: SetManifest, written: dict[str, Any]
):
    del written["schema"]
    (tmp_path / MANIFEST).write_text(json.dumps(written))
    assert read_manifest(tmp_path) == manifest
    assert standalone.read_set(tmp_path, "fp16") == written


@pytest.mark.parametrize(
    ("change", "given"),
    [
        ({"schema": "attnexport.recorded-set/2", "more": 1}, '"attnexport.recorded-set/2"'),
        ({"schema": "attnexport.engine/1"}, '"attnexport.engine/1"'),
        ({"schema": None, "format": 2}, '"attnexport.recorded-set/2"'),
    ],
    ids=str,
)
def test_another_schema_is_refused(tmp_path: Path, written: dict[str, Any], change: dict[str, Any], given: str):
    changed = {name: value for name, value in {**written, **change}.items() if value is not None}
    (tmp_path / MANIFEST).write_text(json.dumps(changed))
    said = re.escape(f": schema: expected attnexport.recorded-set/1, given {given}: record the set again")
    with pytest.raises(InputError, match=said):
        read_manifest(tmp_path)
    with pytest.raises(standalone.Unusable, match=said):
        standalone.read_set(tmp_path, "fp16")
