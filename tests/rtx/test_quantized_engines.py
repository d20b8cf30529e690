"""Files that quantize wrote become engines of TensorRT-RTX, without a GPU: products in int8 and fp8, as the engine says
itself, and attention through the plugins."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest

import attnexport
from attnexport.backends.tensorrt_rtx import TensorRtRtxBuilder
from attnexport.calibration.layers import layers_of
from attnexport.calibration.ranges import Range, Ranges
from attnexport.engines.shape_texts import parse_shapes
from attnexport.errors import InputError
from attnexport.files.outputs import sha256
from attnexport.graph.inspection import read_model
from attnexport.graph.nodes import variant_nodes
from attnexport.plugins.runtime.request import EngineOptions
from tests.plugins import libraries
from tests.rtx.engine_texts import constants, product_types, together

pytestmark = [pytest.mark.needs("tensorrt-rtx"), pytest.mark.timeout(1800)]

SHAPES = {"digits": "image=1x8x8:2x8x8:8x8x8", "language": "tokens=1x2:2x64:8x256"}
SAMPLES = [path for path in libraries.SAMPLES if path.parent.name in SHAPES]
EVERY = pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
SCHEMES = ("int8", "fp8", "int8-weights", "int4-weights")
CAPABILITIES = (86, 89, 120)
KRAUSE = next(path for path in SAMPLES if path.parts[-2:] == ("digits", "krause.pt2"))
TYPES = {"int8": "int8", "fp8": "fp8_e4m3"}


@pytest.fixture(scope="module")
def converted_to_21(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """The samples as files in an opset that has every scheme, converted when they are asked for."""
    return _Converted(tmp_path_factory.mktemp("opset21"))


class _Converted(dict[Path, Path]):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, sample: Path) -> Path:
        loaded, file = attnexport.load_model(sample), self._folder / libraries.name_of(sample)
        attnexport.convert(loaded.program, None, file, dim_names=loaded.dim_names, target="rtx-40", opset=21)
        return self.setdefault(sample, file)


def quantized(file: Path, to: str, output: Path) -> Path:
    """The file in a scheme, with ranges that no data gave: engines are the same whatever their scales are."""
    names = {layer.activation.name or "" for layer in layers_of(ir.load(file))}
    given = Ranges(sha256(file), ("0",), "minmax", 1, dict.fromkeys(names, Range(-4.0, 4.0, -4.0, 4.0)))
    return attnexport.quantize(file, output, to=to, ranges=None if to.endswith("-weights") else given).path


def build(file: Path, sample: Path, sm: int, plugins: Path | None = None) -> tuple[bytes, tuple[str, ...]]:
    """The engine, and the nodes that became plugins."""
    profiles = parse_shapes([SHAPES[sample.parent.name]])
    built = TensorRtRtxBuilder().build(file, EngineOptions(profiles, plugins=plugins, sms=(sm,)))
    return built.engine, built.plugin_nodes


def check_products(engine: bytes, file: Path, to: str) -> None:
    """Every layer of the file is a product of rounded operands, or of a weight that the engine holds rounded."""
    layers = list(layers_of(ir.load(file)))
    if to in TYPES:
        found = product_types(engine)
        assert {found[str(layer.node.name)] for layer in layers} == {(TYPES[to], TYPES[to])}
    if to == "int8":
        projections = [{str(node.name) for node in layer.activation.consumers()} for layer in layers]
        shared = [names for names in projections if len(names) == 3]
        assert shared
        assert all(names in together(engine) for names in shared)
    if to not in TYPES:
        matrices = [layer for layer in layers if to == "int8-weights" or layer.node.op_type != "Conv"]
        assert constants(engine)[to.removesuffix("-weights")] == len(matrices)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["int8", "int4-weights"])
def test_layers_of_a_quantized_file_are_what_it_says_in_the_engine(
    to: str, converted_to_21: dict[Path, Path], tmp_path: Path
):
    file = converted_to_21[KRAUSE]
    engine, _ = build(quantized(file, to, tmp_path / "q.onnx"), KRAUSE, 89)
    check_products(engine, file, to)


@pytest.mark.slow
@pytest.mark.thorough
@EVERY
@pytest.mark.parametrize("to", SCHEMES)
@pytest.mark.parametrize("sm", CAPABILITIES)
def test_every_sample_builds_in_every_scheme_for_every_gpu(
    sm: int, to: str, sample: Path, converted_to_21: dict[Path, Path], library: Path, tmp_path: Path
):
    file = converted_to_21[sample]
    made = quantized(file, to, tmp_path / "q.onnx")
    if (to, sm) == ("fp8", 86):
        with pytest.raises(
            InputError, match=r'is fp8: expected types .* for target rtx-30 .*: quantize with to="int8"'
        ):
            attnexport.build(made, tmp_path / "q.engine", target="rtx-30", shapes=[SHAPES[sample.parent.name]])
        return
    engine, through = build(made, sample, sm)
    assert through == ()
    check_products(engine, file, to)
    engine, through = build(made, sample, sm, library)
    assert sorted(through) == sorted(str(node.name) for node, _ in variant_nodes(read_model(file).graph))
    check_products(engine, file, to)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["int8", *(pytest.param(to, marks=pytest.mark.thorough) for to in SCHEMES[1:])])
def test_attention_is_a_plugin_in_half_between_products_in_eight_bits(
    to: str, converted_to_21: dict[Path, Path], library: Path, tmp_path: Path
):
    file = converted_to_21[KRAUSE]
    made = quantized(file, to, tmp_path / "q.onnx")
    options = {"target": "rtx-50", "plugins": library, "shapes": [SHAPES["digits"]]}
    manifest = attnexport.build(made, tmp_path / "q.engine", precision="fp16", **options)
    plugins = [layer for layer in manifest.layers if layer.plugin is not None]
    assert len(plugins) == len(variant_nodes(read_model(file).graph))
    assert {layer.precisions for layer in plugins} == {("fp16",)}
    assert (manifest.precision, manifest.body_nodes) == (to, ())
    check_products((tmp_path / "q.engine").read_bytes(), file, to)
