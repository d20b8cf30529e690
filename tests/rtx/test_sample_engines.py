"""``attnexport build`` for RTX targets, without a GPU: every sample, through its bodies and with the plugin library."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from attnexport.backends.tensorrt_rtx import TensorRtRtxBuilder
from attnexport.engines.manifest import Manifest
from attnexport.engines.manifest_json import read_manifest
from attnexport.engines.shape_texts import parse_shapes
from attnexport.files.outputs import sha256
from attnexport.graph.inspection import read_model
from attnexport.graph.nodes import variant_nodes
from attnexport.plugins.runtime.request import EngineOptions
from attnexport.targets import find_target
from tests.cli.commands import Run
from tests.plugins.libraries import SAMPLES

pytestmark = [pytest.mark.needs("tensorrt-rtx"), pytest.mark.slow, pytest.mark.timeout(900)]

SHAPES = {"digits": "image=1x8x8:2x8x8:8x8x8", "language": "tokens=1x2:2x64:8x256"}
EVERY = pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
TWO = pytest.mark.parametrize("name", ["digits/topn", "language/krause"])


def sample_named(name: str) -> Path:
    (found,) = (path for path in SAMPLES if f"{path.parent.name}/{path.stem}" == name)
    return found


class Builds:
    """Engines of samples, built by the command."""

    def __init__(self, command: Run, converted: dict[Path, Path], folder: Path) -> None:
        self._command, self._converted, self._folder = command, converted, folder

    def __call__(self, sample: Path, target: str, *options: object) -> tuple[Manifest, bytes]:
        """The manifest and the engine, which must belong to each other and to the sample."""
        engine = self._folder / "model.engine"
        shapes = SHAPES[sample.parent.name]
        result = self._command(
            "build", self._converted[sample], "-o", engine, "--target", target, "--shapes", shapes, *options
        )
        assert (result.code, result.err) == (0, "")
        assert f"because of target {target}: " in result.text
        manifest, content = read_manifest(engine), engine.read_bytes()
        assert manifest.engine_bytes == len(content)
        assert manifest.model.sha256 == sha256(self._converted[sample])
        assert manifest.profiles == parse_shapes([shapes])
        assert manifest.target == target
        assert manifest.sms == find_target(target).sms == accelerators(content)
        assert ("fp16" in manifest.precisions) == (b"type=half" in content)
        assert sorted(path.name for path in self._folder.iterdir()) == ["model.engine", "model.engine.json"]
        return manifest, content


def accelerators(engine: bytes) -> tuple[int, ...]:
    """The compute capabilities that an engine of TensorRT-RTX tells of in its own text."""
    (found,) = set(re.findall(rb"accelerators=\{(sm[^}]*)\}", engine))
    return tuple(int(name.removeprefix(b"sm")) for name in found.split())


@pytest.fixture
def build(run: Run, converted: dict[Path, Path], tmp_path: Path) -> Builds:
    return Builds(run, converted, tmp_path)


def nodes_of(model: Path) -> list[str]:
    return sorted(str(node.name) for node, _ in variant_nodes(read_model(model).graph))


@EVERY
def test_a_sample_builds_through_its_bodies(sample: Path, build: Builds, converted: dict[Path, Path]):
    manifest, _ = build(sample, "rtx-30")
    assert sorted(manifest.body_nodes) == nodes_of(converted[sample])
    assert (manifest.plugin_nodes, manifest.plugin) == ((), None)
    assert (manifest.precision, manifest.layers_from) == ("fp32", "network")
    assert not [layer for layer in manifest.layers if layer.plugin]


@TWO
def test_a_sample_builds_through_its_bodies_for_every_rtx(name: str, build: Builds):
    manifest, _ = build(sample_named(name), "rtx", "--precision", "fp16")
    assert manifest.precision == "fp16"
    assert manifest.precisions["fp16"] > 0.1


@EVERY
def test_every_node_is_a_plugin_in_half_and_the_engine_carries_the_library(
    sample: Path, build: Builds, converted: dict[Path, Path], library: Path
):
    manifest, engine = build(sample, "rtx-50", "--plugins", library, "--embed-plugins", "--precision", "fp16")
    nodes = nodes_of(converted[sample])
    assert sorted(manifest.plugin_nodes) == nodes
    assert manifest.body_nodes == ()
    plugins = [layer for layer in manifest.layers if layer.plugin is not None]
    assert sorted(layer.name for layer in plugins) == nodes
    assert {layer.precisions for layer in plugins} == {("fp16",)}
    assert not [note for note in manifest.notes if "warns" in note]
    assert manifest.plugin is not None
    assert (manifest.plugin.sha256, manifest.plugin.sms, manifest.plugin.api) == (sha256(library), (87, 90), "v3")
    assert manifest.plugin.embedded
    assert library.read_bytes() in engine


def test_an_engine_that_leaves_the_library_out_is_smaller_by_it(build: Builds, library: Path):
    sample = sample_named("digits/krause")
    _, alone = build(sample, "rtx-50", "--plugins", library)
    _, carrying = build(sample, "rtx-50", "--plugins", library, "--embed-plugins")
    size = library.stat().st_size
    assert size <= len(carrying) - len(alone) < size + 65536


@TWO
def test_plugins_build_for_another_capability(name: str, converted: dict[Path, Path], library: Path):
    model = converted[sample_named(name)]
    profiles = parse_shapes([SHAPES[name.partition("/")[0]]])
    built = TensorRtRtxBuilder().build(model, EngineOptions(profiles, plugins=library, sms=(86,)))
    assert sorted(built.plugin_nodes) == nodes_of(model)
    assert built.messages == ()
    assert accelerators(built.engine) == (86,)
