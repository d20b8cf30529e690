"""attnexport from Python: what the command line does, in a few lines, from public names alone."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

import attnexport

ROOT = Path(__file__).parents[1]
WIDTH = 16


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = attnexport.KrauseAttention(WIDTH, 2)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.attention(x))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """m.pt2, its m.onnx and x.npz."""
    folder = tmp_path_factory.mktemp("api")
    torch.manual_seed(0)
    shapes = {"x": {0: Dim("batch"), 1: Dim("tokens", max=64)}}
    attnexport.save(Net().eval(), folder / "m.pt2", args=torch.randn(2, 6, WIDTH), dynamic_shapes=shapes)
    attnexport.convert(folder / "m.pt2", None, folder / "m.onnx")
    random = np.random.default_rng(0)
    np.savez(folder / "x.npz", x=random.standard_normal((5, 6, WIDTH), dtype=np.float32))
    return folder


def test_a_model_says_what_it_is(folder: Path):
    model = attnexport.load_model(folder / "m.pt2")
    assert (model.input_names, model.output_names) == (("x",), ("output",))
    assert model.dim_names == {"x": {0: "batch", 1: "tokens"}}
    assert [variant.name for variant in model.variants] == ["krause"]
    assert model.precision == "fp32"
    x = torch.randn(3, 4, WIDTH)
    seen: list[torch.fx.Node] = []
    (output,) = model.run([x], visit=lambda call: seen.append(call.node))
    (exact,) = model.run([x], dtype=torch.float64)
    assert output.dtype == torch.float32
    assert exact.dtype == torch.float64
    assert torch.equal(output, model.program.module()(x))
    assert any("krause" in str(node.target) for node in seen)


def test_check_reports_and_saves(folder: Path, tmp_path: Path):
    report = attnexport.check(folder / "m.pt2", [folder / "m.onnx", "torch:fp16"], data=folder / "x.npz", hazards=True)
    assert report.passed
    assert report.hazards
    report.save(tmp_path / "report.html")
    report.save(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["passed"] is True
    assert report.model.name == str(folder / "m.pt2")


def test_check_bisects_a_wrong_file_and_tells_of_its_steps(folder: Path, tmp_path: Path):
    torch.manual_seed(1)
    attnexport.convert(Net().eval(), torch.randn(2, 6, WIDTH), tmp_path / "other.onnx")
    steps: list[str] = []
    report = attnexport.check(
        folder / "m.pt2",
        [tmp_path / "other.onnx"],
        kinds="normal",
        seeds=1,
        bisect=True,
        progress=lambda step, done: steps.append(step),
    )
    assert not report.passed
    assert report.contenders[0].bisection is not None
    kinds = {" ".join(step.split()[:2]) for step in steps}
    assert kinds >= {"opening contenders", "running PyTorch", f"checking {tmp_path / 'other.onnx'}"}
    assert any(step.startswith("comparing ") and step.endswith(" in other.onnx") for step in steps)


def test_record_writes_a_set_that_check_reads(folder: Path, tmp_path: Path):
    recorded = attnexport.record(folder / "m.pt2", tmp_path / "set", kinds="normal", seeds=2, precisions=["fp32"])
    assert (recorded.path, recorded.precisions, recorded.batches) == (tmp_path / "set", ("fp32",), 2)
    assert attnexport.check(folder / "m.pt2", [folder / "m.onnx"], data=tmp_path / "set").passed


def test_run_gives_outputs_and_saves_them(folder: Path, tmp_path: Path):
    done = attnexport.run(folder / "m.onnx", folder / "x.npz", repeats=2)
    assert done.outputs["output"].shape == (5, 6, 3)
    assert done.report.timing is not None
    done.save(tmp_path / "y.npz")
    with np.load(tmp_path / "y.npz") as stored:
        assert np.array_equal(stored["output"], done.outputs["output"])


def test_inspect_and_analyze(folder: Path, tmp_path: Path):
    assert [node.op_type for node in attnexport.inspect(folder / "m.onnx").nodes] == ["KrauseAttention"]
    found = attnexport.analyze(folder / "m.pt2", folder / "x.npz", sizes=(2,), rows=2)
    assert (found.samples, [head.head for head in found.heads]) == (5, [0, 1])
    found.save(tmp_path / "heads.json")
    found.save(tmp_path / "heads.png")
    assert len(json.loads((tmp_path / "heads.json").read_text())["heads"]) == 2
    with pytest.raises(attnexport.InputError, match=r"expected a name that ends in \.json or \.png"):
        found.save(tmp_path / "heads.txt")


@pytest.mark.slow
@pytest.mark.needs("tensorrt-rtx")
def test_build_writes_an_engine_and_its_manifest(folder: Path, tmp_path: Path):
    manifest = attnexport.build(
        folder / "m.onnx", tmp_path / "m.engine", target="rtx-40", shapes=["x=1x4x16:2x6x16:4x8x16"]
    )
    assert manifest.target == "rtx-40"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.engine", "m.engine.json"]


# samples/sigmoid is a folder of the package itself, to be laid into it.
USERS = [path for path in sorted((ROOT / "samples").rglob("*.py")) if path.parent.name != "sigmoid"]


@pytest.mark.parametrize("path", USERS, ids=lambda path: "-".join(path.relative_to(ROOT).with_suffix("").parts))
def test_samples_use_public_names_alone(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            assert not node.module.startswith("attnexport."), node.module
        if isinstance(node, ast.Import):
            assert not [name.name for name in node.names if name.name.startswith("attnexport.")]


def test_every_public_name_is_there():
    for name in attnexport.__all__:
        assert getattr(attnexport, name) is not None
