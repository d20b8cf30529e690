"""Bad input: exit code 2, one line that names the thing, no traceback, nothing left behind."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import attnexport
import attnexport.graph.writing
from tests.cli.commands import Refuse, Run
from tests.cli.models import WIDTH, Plain, TwoInputs, tiny
from tests.tools import lack, require

X = f"x=2x9x{WIDTH}:f32"


def factory(name: str) -> tuple[str, str]:
    return "--model", f"tests.cli.models:{name}"


@pytest.fixture(scope="module")
def other_onnx(folder: Path) -> Path:
    """ONNX of a model with two inputs."""
    path = folder / "two.onnx"
    attnexport.convert(TwoInputs(), (torch.ones(2, 3), torch.ones(2, 3)), path)
    return path


def has(line: str, *texts: object) -> None:
    for text in texts:
        assert str(text) in line, line


def test_missing_model(refuse: Refuse, tmp_path: Path):
    has(refuse("convert", tmp_path / "none.pt2", "-o", tmp_path / "o.onnx"), tmp_path / "none.pt2", "no such file")


def test_no_model(refuse: Refuse, tmp_path: Path):
    has(refuse("convert", "-o", tmp_path / "o.onnx"), "no MODEL", "--model")


@pytest.mark.parametrize("suffix", [".pt2", ".pt", ".pth", ".onnx"])
def test_random_bytes(refuse: Refuse, tmp_path: Path, suffix: str):
    path = tmp_path / f"noise{suffix}"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    has(refuse("convert", path, "-o", tmp_path / "o.onnx"), path, "expected" if suffix == ".onnx" else "damaged")


@pytest.mark.parametrize("share", [0.0, 0.0002, 0.01, 0.3, 0.9, 0.999])
def test_truncated_program(refuse: Refuse, saved: Path, tmp_path: Path, share: float):
    path = tmp_path / "cut.pt2"
    data = saved.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    has(refuse("convert", path, "-o", tmp_path / "o.onnx"), path)


def test_state_dict_without_a_factory(refuse: Refuse, tmp_path: Path):
    path = tmp_path / "weights.pt"
    torch.save(tiny().state_dict(), path)
    has(refuse("convert", path, "-o", tmp_path / "o.onnx", "--inputs", X), path, "weights only", "--model")


def test_state_dict_of_another_model(refuse: Refuse, tmp_path: Path):
    path = tmp_path / "weights.pt"
    torch.save(Plain().state_dict(), path)
    line = refuse("convert", path, "-o", tmp_path / "o.onnx", *factory("tiny"), "--inputs", X)
    has(line, path, "missing: attention.", "unexpected: head.weight")


def test_program_with_other_inputs(refuse: Refuse, saved: Path, tmp_path: Path):
    line = refuse("convert", saved, "-o", tmp_path / "o.onnx", "--inputs", "x=2x9x15:f32")
    has(line, "--inputs x", "expected (batch, tokens, 16) float32", "given (2, 9, 15) float32")
    has(refuse("convert", saved, "-o", tmp_path / "o.onnx", "--inputs", "y=2x9x16:f32"), "--inputs y", "x")


def test_module_with_inputs_of_a_wrong_shape(refuse: Refuse, tmp_path: Path):
    line = refuse("convert", "-o", tmp_path / "o.onnx", *factory("tiny"), "--inputs", "x=2x9x15:f32")
    has(line, "[18, 15] X [16, 16]", "with the inputs x (2, 9, 15) float32")


def test_module_with_inputs_of_a_wrong_dtype(refuse: Refuse, tmp_path: Path):
    line = refuse("convert", "-o", tmp_path / "o.onnx", *factory("tiny"), "--inputs", "x=2x9x16:i64")
    has(line, "types do not fit", "tensor(int64) and tensor(float)")


@pytest.mark.parametrize("text", ["x", "x=2x", "x=2x9:f33", "x=-2x9:f32", "x=2x9:f32[0,3)"])
def test_inputs_of_another_form(refuse: Refuse, tmp_path: Path, text: str):
    has(refuse("convert", "-o", tmp_path / "o.onnx", *factory("tiny"), "--inputs", text), f"--inputs {text}")


def test_operator_that_onnx_lacks(refuse: Refuse, tmp_path: Path):
    line = refuse("convert", "-o", tmp_path / "o.onnx", *factory("Eigenvalues"), "--inputs", "x=4x4:f32")
    has(line, "linalg_eig", "ONNX has no operator")


def test_dynamic_dim_that_the_model_fixes(refuse: Refuse, tmp_path: Path):
    options = (*factory("BakedTokens"), "--inputs", X, "--dynamic", "x:0=batch,1=tokens")
    has(refuse("convert", "-o", tmp_path / "o.onnx", *options), "tokens", "x axis 1", "9")


@pytest.mark.parametrize("text", ["x", "x:", "x:1=1", "x:1=tokens[10..20]", "x:1=tokens[4..2]"])
def test_dynamic_of_another_form(refuse: Refuse, tmp_path: Path, text: str):
    options = (*factory("tiny"), "--inputs", X, "--dynamic", text)
    has(refuse("convert", "-o", tmp_path / "o.onnx", *options), f"--dynamic {text.partition('[')[0]}", "expected")


@pytest.mark.parametrize(("text", "wrong"), [("y:0=a", "'y'"), ("x:3=a", "axis 3"), ("x:0=a,0=b", "axis 0")])
def test_dynamic_of_what_does_not_exist(refuse: Refuse, tmp_path: Path, text: str, wrong: str):
    options = (*factory("tiny"), "--inputs", X, "--dynamic", text)
    has(refuse("convert", "-o", tmp_path / "o.onnx", *options), f"--dynamic {text}", wrong)


def test_dynamic_for_a_program(refuse: Refuse, saved: Path, tmp_path: Path):
    has(refuse("convert", saved, "-o", tmp_path / "o.onnx", "--inputs", X, "--dynamic", "x:0=a"), saved, "--dynamic")


@pytest.mark.parametrize(("option", "value", "wanted"), [("--opset", 12, "17 to 23"), ("--target", "toaster", "l4")])
def test_opset_or_target_that_does_not_exist(refuse: Refuse, saved: Path, tmp_path: Path, option, value, wanted):
    has(
        refuse("convert", saved, "-o", tmp_path / "o.onnx", option, value), option.strip("-"), "expected", wanted, value
    )


@pytest.mark.parametrize(
    "command",
    [
        ("convert", "MODEL", "-o", "OUT"),
        ("check", "MODEL", "FILE", "--json", "OUT"),
        ("analyze", "MODEL", "--data", "DATA", "--json", "OUT"),
        ("analyze", "MODEL", "--data", "DATA", "--png", "OUT"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("place", ["missing folder", "file as folder", "folder"])
def test_output_that_cannot_be_written(refuse: Refuse, saved: Path, converted: Path, tmp_path: Path, command, place):
    (tmp_path / "file").write_text("")
    path = {"missing folder": tmp_path / "none" / "out", "file as folder": tmp_path / "file" / "out"}.get(
        place, tmp_path
    )
    known = {"MODEL": saved, "FILE": converted, "DATA": tmp_path / "unread.npz", "OUT": path}
    has(refuse(*(known.get(part, part) for part in command)), f"{path}: expected", "given")


def test_output_that_is_the_model(refuse: Refuse, saved: Path):
    before = saved.read_bytes()
    has(refuse("convert", saved, "-o", saved), saved, "expected a name for an ONNX file")
    assert saved.read_bytes() == before
    link = saved.with_name("model")
    link.symlink_to(saved)
    has(refuse("convert", saved, "-o", link), link, "expected another name for the output")
    link.unlink()


@pytest.fixture
def small_disk(tmp_path: Path):
    """A disk of one page."""
    mount = require("mounting")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=4k", "none", disk], capture_output=True).returncode:
        lack("mounting")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_full_disk(refuse: Refuse, small_disk: Path):
    path = small_disk / "out.onnx"
    has(
        refuse("convert", "-o", path, *factory("tiny"), "--inputs", X),
        f"{path}: cannot be written",
        os.strerror(errno.ENOSPC),
    )
    assert not list(small_disk.iterdir())


def test_write_that_fails_half_way(refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(model: object, path: Path, **options: object) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("attnexport.graph.writing.ir.save", fail)
    path = tmp_path / "out.onnx"
    options = (*factory("Plain"), "--inputs", "x=2x16")
    has(refuse("convert", "-o", path, *options), f"{path}: cannot be written", os.strerror(errno.ENOSPC))


def test_report_that_fails_half_way(refuse: Refuse, saved: Path, converted: Path, tmp_path: Path, monkeypatch):
    def fail(path: Path, text: str, encoding: str) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", fail)
    path = tmp_path / "report.json"
    has(refuse("check", saved, converted, "--seeds", 1, "--json", path), f"{path}: cannot be written")


@pytest.mark.parametrize("command", ["check", "inspect"])
def test_file_that_is_not_onnx(refuse: Refuse, saved: Path, tmp_path: Path, command: str):
    model = (saved,) if command == "check" else ()
    for name, content in (("noise.onnx", np.random.default_rng(1).bytes(999)), ("text.json", b"{}"), ("no.onnx", b"")):
        path = tmp_path / name
        path.write_bytes(content)
        has(refuse(command, *model, path), path, "expected an ONNX model")
    has(refuse(command, *model, tmp_path / "none.onnx"), tmp_path / "none.onnx", "no such file")


def test_damaged_onnx(refuse: Refuse, saved: Path, converted: Path, tmp_path: Path):
    path = tmp_path / "cut.onnx"
    path.write_bytes(converted.read_bytes()[:-3000])
    has(refuse("check", saved, path), path)
    model = onnx.load(converted)
    model.graph.node[3].input[0] = "nobody"
    onnx.save(model, path)
    has(refuse("check", saved, path), path, "ONNX Runtime cannot load it", "nobody")


def test_onnx_of_a_model_with_other_inputs(refuse: Refuse, saved: Path, other_onnx: Path):
    has(refuse("check", saved, other_onnx), "inputs: expected 1 (x), the file has 2 (x, y)")


def test_onnx_of_a_model_with_other_outputs(refuse: Refuse, saved: Path, converted: Path, tmp_path: Path):
    model = onnx.load(converted)
    node = next(node for node in model.graph.node if node.op_type == "KrauseAttention")
    model.graph.output.append(onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.FLOAT, None))
    path = tmp_path / "more.onnx"
    onnx.save(model, path)
    has(refuse("check", saved, path), "more.onnx: outputs: expected 1 (output), the file has 2")


def test_onnx_with_an_output_of_another_shape(refuse: Refuse, converted: Path, tmp_path: Path):
    options = (*factory("tiny"), "--inputs", X, "--seeds", 1)
    has(refuse("check", *options[:0], tmp_path / "none", converted, *options), tmp_path / "none", "no such file")
    weights = tmp_path / "weights.pt"
    torch.save(tiny().state_dict(), weights)
    line = refuse("check", weights, converted, *options)
    has(line, "output", "expected shape (2, 9, 16)", "(2, 9, 5)")


BAD_DATA = {
    "lacks the input": ({"y": np.zeros((3, 4, WIDTH), np.float32)}, ("input x", "given y")),
    "holds nothing": ({}, ("input x", "given none")),
    "wrong rank": ({"x": np.zeros((3, WIDTH), np.float32)}, ("(batch, tokens, 16) float32", "(3, 16) float32")),
    "wrong width": ({"x": np.zeros((3, 4, 15), np.float32)}, ("(batch, tokens, 16) float32", "(3, 4, 15) float32")),
    "integers": ({"x": np.zeros((3, 4, WIDTH), np.int64)}, ("float32", "int64")),
    "complex": ({"x": np.zeros((3, 4, WIDTH), np.complex64)}, ("float32", "complex64")),
    "texts": ({"x": np.full((3, 4, WIDTH), "a")}, ("float32", "<U1")),
    "objects": ({"x": np.full((3, 4, WIDTH), None)}, ("plain arrays", "|O")),
    "no rows": ({"x": np.zeros((0, 4, WIDTH), np.float32)}, ("input x", "at least one row", "axis 0")),
    "no tokens": ({"x": np.zeros((3, 0, WIDTH), np.float32)}, ("input x", "(3, 0, 16)", "size 0 on axis 1")),
    "not finite": ({"x": np.full((3, 4, WIDTH), np.nan, np.float32)}, ("not finite",)),
    "too few labels": (
        {"x": np.zeros((3, 4, WIDTH), np.float32), "labels": np.zeros((2, 4), np.int64)},
        ("labels: expected 3 rows", "(2, 4)"),
    ),
    "labels of a sample": (
        {"x": np.zeros((3, 4, WIDTH), np.float32), "labels": np.zeros(3, np.int64)},
        ("labels: expected shape (3, 4) (output)", "given (3,)"),
    ),
    "labels as texts": (
        {"x": np.zeros((3, 4, WIDTH), np.float32), "labels": np.full((3, 4), "cat")},
        ("labels: expected integers", "<U3"),
    ),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_data_that_does_not_fit(refuse: Refuse, saved: Path, converted: Path, tmp_path: Path, case: str):
    arrays, texts = BAD_DATA[case]
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    has(refuse("check", saved, converted, "--data", path), path, *texts)


def test_pickle_in_data_is_not_run(refuse: Refuse, saved: Path, converted: Path, tmp_path: Path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "data.npz"
    np.savez(path, x=np.array([Attack()], dtype=object))
    has(refuse("check", saved, converted, "--data", path), path, "|O")
    assert not (tmp_path / "ran").exists()


def test_data_that_is_no_npz(refuse: Refuse, saved: Path, converted: Path, tmp_path: Path):
    has(refuse("check", saved, converted, "--data", tmp_path / "none"), tmp_path / "none", "no such file")
    empty = tmp_path / "empty"
    empty.mkdir()
    has(refuse("check", saved, converted, "--data", empty), empty, "found none")
    single, noise, cut = tmp_path / "single.npy", tmp_path / "noise.npz", tmp_path / "cut.npz"
    np.save(single, np.zeros((3, 4, WIDTH), np.float32))
    noise.write_bytes(b"noise")
    np.savez_compressed(cut, x=np.random.default_rng(0).standard_normal((9, 4, WIDTH)))
    data = bytearray(cut.read_bytes())
    data[500:900] = bytes(400)
    cut.write_bytes(data)
    for path in (single, noise, cut):
        has(refuse("check", saved, converted, "--data", path), path, "expected an .npz archive of plain arrays")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("check", "a.pt2", "a.onnx", "--seeds", 0), "--seeds"),
        (("check", "a.pt2"), "CONTENDER"),
        (("convert", "a.pt2"), "--output"),
        (("convert", "a.pt2", "-o", "a.onnx", "--opset", "new"), "--opset"),
        (("convert", "a.pt2", "--bogus"), "--bogus"),
        (("analyze", "a.pt2"), "--data"),
        (("analyze", "a.pt2", "--data", "a.npz", "--n", "2,x"), "--n"),
        (("analyze", "a.pt2", "--data", "a.npz", "--n", "0"), "--n"),
        (("analyze", "a.pt2", "--data", "a.npz", "--distance", "far"), "--distance"),
        (("check", "a.pt2", "a.onnx", "--rebuild", 2), "--rebuild: expected together with --target"),
        (("check", "a.pt2", "a.onnx", "--shapes", "x=1:2:3"), "--shapes: expected beside --rebuild"),
        (("check", "a.pt2", "a.onnx", "--kinds", "normal", "--data", "a.npz"), "--kinds: expected without --data"),
        (("check", "a.pt2", "torch:int8"), "torch:int8: expected one of fp64, fp32, fp16, bf16, given 'int8'"),
        (("record", "a.pt2"), "--output"),
        (("chekc",), "chekc"),
    ],
    ids=str,
)
def test_options_that_do_not_fit(refuse: Refuse, args, text: str):
    has(refuse(*args), text)


def test_analysis_of_a_model_without_attention(refuse: Refuse, tmp_path: Path):
    path, data, json = tmp_path / "plain.pt2", tmp_path / "data.npz", tmp_path / "out.json"
    attnexport.save(Plain(), path, args=torch.ones(2, WIDTH))
    np.savez(data, x=np.ones((2, WIDTH), np.float32))
    has(refuse("analyze", path, "--data", data, "--json", json), path, "expected attention layers", "found none")


def test_debug_shows_where(run: Run, tmp_path: Path):
    result = run("convert", tmp_path / "none.pt2", "-o", tmp_path / "o.onnx", "--debug")
    assert result.code == 2
    assert "Traceback" in result.err
    assert result.err.splitlines()[-1].startswith("attnexport: ")
