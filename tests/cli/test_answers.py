"""What is wrong is said before torch, ONNX, ONNX Runtime or NumPy is imported; some commands need none of them at all.

One process, in which they cannot be imported, runs every command line of this file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[2] / "samples" / "digits"
MODEL, DATA = str(SAMPLES / "krause.pt2"), str(SAMPLES / "test.npz")
FACTORY = ("--model", "samples.digits.model:build")

LARGE = ("torch", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "numpy")

SCRIPT = """
import contextlib, io, json, sys
from attnexport.cli import main

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in LARGE:
            raise ImportError(f"{name} was imported")

LARGE, lines = json.loads(sys.argv[1])
sys.meta_path.insert(0, Refused())
answers = []
for arguments in lines:
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments, prog_name="attnexport")
        except SystemExit as end:
            code = end.code or 0
    answers.append([code, out.getvalue(), err.getvalue()])
json.dump(answers, sys.stdout)
"""

Answer = tuple[int, str, str]


def answers(folder: Path, lines: list[tuple[str, ...]], without: tuple[str, ...]) -> list[Answer]:
    """Exit code, stdout and stderr of each command line, where these packages cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([without, lines])],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return [tuple(answer) for answer in json.loads(done.stdout)]


def convert(*more: str) -> tuple[str, ...]:
    return ("convert", MODEL, "-o", "out.onnx", *more)


def module(*more: str) -> tuple[str, ...]:
    return ("convert", *FACTORY, "-o", "out.onnx", *more)


def check(*more: str, contender: str = "torch:fp16") -> tuple[str, ...]:
    return ("check", MODEL, contender, *more)


def record(*more: str, output: str = "set") -> tuple[str, ...]:
    return ("record", MODEL, "-o", output, *more)


def analyze(*more: str, data: str = DATA) -> tuple[str, ...]:
    return ("analyze", MODEL, "--data", data, *more)


def build(*more: str, target: str = "rtx-40", output: str = "e.engine") -> tuple[str, ...]:
    return ("build", "file.onnx", "-o", output, "--target", target, *more)


def quantize(*more: str) -> tuple[str, ...]:
    return ("quantize", "file.onnx", "-o", "q.onnx", *more)


def tune(*more: str) -> tuple[str, ...]:
    return ("tune", "file.onnx", "-o", "t.onnx", "--data", DATA, *more)


MISTAKES: dict[tuple[str, ...], str] = {
    # Commands, options and their values
    ("convret", MODEL): "No such command 'convret'; did you mean convert?",
    ("plugins", "biuld"): "No such command 'biuld'; did you mean build?",
    convert("--trget", "a100"): "--target",
    convert("--nodes", "plugn"): "did you mean plugin?",
    convert("--state", "oi"): "'oi' is not one of",
    analyze("--distance", "cosin"): "did you mean cosine?",
    analyze("--n", "2,x"): "expected whole numbers with commas, given '2,x'",
    analyze("--rows", "0"): "--rows",
    check("--precision", "fp166"): "did you mean fp16?",
    check("--repeat", "0"): "--repeat",
    record("--seeds", "0"): "--seeds",
    ("plugins", "build", "--jobs", "0"): "--jobs",
    ("runtime", "build", "--jobs", "0"): "--jobs",
    # MODEL and what goes with it
    ("convert", "none.pt2", "-o", "out.onnx"): "none.pt2: no such file",
    ("convert", ".", "-o", "out.onnx"): "is a folder, expected a .pt2, .pt or .pth file",
    ("convert", DATA, "-o", "out.onnx"): "holds NumPy arrays (.npz), expected a model",
    ("convert", "text.pt2", "-o", "out.onnx"): "is not a model file that attnexport reads",
    ("convert", "-o", "out.onnx"): "no MODEL",
    ("convert", "--model", "models.build", "-o", "out.onnx"): "expected pkg.module:factory",
    module("--weights", "none.pt"): "none.pt: no such file",
    module("--weights", MODEL): "expected weights (.pt, .pth or .safetensors)",
    convert(*FACTORY): "leave out --model and --weights",
    convert("--inputs", "x=2x8:f32", "--dynamic", "x:0=batch"): "is a program already",
    module("--inputs", "image 1x8x8"): "expected name=SIZESxSIZE:DTYPE",
    module("--inputs", "image=1x8x8:f23"): "did you mean f32?",
    module("--inputs", "image=1x8x8", "--dynamic", "imag:0=batch"): "did you mean image?",
    module("--inputs", "image=1x8x8", "--dynamic", "image:7=batch"): "image has 3 dims",
    module("--inputs", "image=1x8x8", "--dynamic", "image:0"): "expected AXIS=DIM",
    # What is asked of it
    convert("--target", "jetson-orin-jp62"): "did you mean jetson-orin-jp6.2?",
    convert("--opset", "9"): "opset: expected 17 to 23, given 9",
    convert("--target", "jetson-orin-jp5", "--opset", "20"): "the target parses up to 17",
    check("--kinds", "normal,larg"): "did you mean large?",
    check("--data", "none.npz"): "none.npz: no such file or folder",
    check("--data", "text.pt2"): "expected an .npz archive of plain arrays",
    check("--data", "."): "expected .npz files in the folder, found none",
    check("--data", DATA, "--kinds", "normal"): "--kinds: expected without --data",
    check("--metric", "acuracy"): "did you mean accuracy?",
    check("--metric", "metrics:"): "or module:function",
    check("--max-drop", "0.1"): "expected beside --metric",
    check("--budget", "none.toml"): "none.toml: cannot be read",
    check("--budget", "text.pt2"): "expected TOML",
    check("--plugins", "none.so"): "none.so: no such file",
    check("--rebuild", "2", "--target", "rtx-60"): "did you mean rtx-50?",
    check("--rebuild", "2", "--target", "rtx-50", "--shapes", "x=1:2"): "expected NAME=MIN:OPT:MAX",
    check(contender="none.onnx"): "none.onnx: no such file",
    check(contender="torch:fp166"): "did you mean fp16?",
    check(contender="ort-cda:file.onnx"): "did you mean ort-cuda:?",
    check(contender="text.pt2"): "expected an ONNX model (.onnx), an engine",
    check(contender="e.plan"): "e.plan.json: no such file",
    check(contender=DATA): "expected the inputs that they are of in --data",
    check("--json", "none/r.json"): "expected an existing folder",
    record("--precisions", "fp32,fp166"): "did you mean fp16?",
    record(output="."): "expected a new folder",
    analyze(data="none.npz"): "none.npz: no such file or folder",
    analyze("--png", "none/map.png"): "expected an existing folder",
    # Outputs
    ("convert", MODEL, "-o", "none/out.onnx"): "expected an existing folder to write into, given none",
    ("convert", MODEL, "-o", "."): "expected a file to write, given a folder",
    ("convert", MODEL, "-o", "out.npz"): "expected a name for an ONNX file",
    ("run", "file.onnx", "--data", DATA, "-o", DATA): "expected another name for the output",
    convert("--keep-failed", "out.onnx"): "given one twice",
    # Files of ONNX and engines
    ("inspect", "none.onnx"): "none.onnx: no such file",
    ("inspect", MODEL): "expected an ONNX model, given a zip archive",
    ("run", "none.onnx", "--data", DATA): "none.onnx: no such file",
    ("run", "file.onnx", "--data", "none.npz"): "none.npz: no such file",
    ("run", "file.onnx", "--data", DATA, "--plugins", "none.so"): "engines alone use a plugin library",
    ("run", "e.plan", "--data", DATA): "e.plan.json: no such file",
    build(target="rtx-60"): "did you mean rtx-50?",
    build("--backend", "native"): "expected tensorrt_rtx for target rtx-40, given native",
    build("--shapes", "x=0"): "expected sizes of 1 or more",
    build("--embed-plugins"): "expected a library in --plugins",
    build(output="e.txt"): "expected a name that ends in .engine",
    ("build", "none.onnx", "-o", "e.engine", "--target", "rtx-40"): "none.onnx: no such file",
    ("plugins", "info", "none.so"): "none.so",
    quantize("--to", "int9"): "did you mean int8?",
    quantize("--to", "int8"): "expected --data or --ranges, given neither",
    quantize("--to", "int8", "--data", "none.npz"): "none.npz: no such file or folder",
    quantize("--to", "int8", "--ranges", "none.json"): "none.json: no such file",
    quantize("--to", "int8-weights", "--keep", "a=fp61"): "expected fp32, fp16, bf16, given fp61",
    tune("--max-error", "-1"): "--max-error: expected 0 or more, given -1",
    tune("--metric", "accuracy"): "--max-drop: expected together with --metric, given one of them",
    tune("--metric", "acuracy", "--max-drop", "0.1"): "did you mean accuracy?",
    tune("--max-error", "1", "--candidates", "int8,fp61"): "did you mean fp16?",
    tune("--max-error", "1", "--cost", "siz"): "did you mean size?",
    tune("--max-error", "1", "--calibration", "none.npz"): "--calibration none.npz: no such file or folder",
    tune("--max-error", "1", "--target", "rtx-41"): "did you mean rtx-40?",
    tune("--max-error", "1", "--html", DATA): "--html",
    ("calibrate", "none.onnx", "--data", DATA, "-o", "r.json"): "none.onnx: no such file",
    ("calibrate", "file.onnx", "--data", "none.npz", "-o", "r.json"): "none.npz: no such file or folder",
    ("compare", "none.json", "none.json"): "none.json",
    ("plugins", "build", "--target", "a10"): "did you mean a100?",
    ("plugins", "build", "--for", "none.onnx"): "none.onnx: no such file",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files whose names say more than they hold."""
    folder = tmp_path_factory.mktemp("answers")
    (folder / "text.pt2").write_text("no model")
    (folder / "file.onnx").write_bytes(b"\x08\x0a")
    (folder / "e.plan").write_bytes(b"ftrt")
    return folder


@pytest.fixture(scope="module")
def mistakes(place: Path) -> dict[tuple[str, ...], Answer]:
    return dict(zip(MISTAKES, answers(place, list(MISTAKES), LARGE), strict=True))


@pytest.mark.parametrize("line", MISTAKES, ids=" ".join)
def test_a_mistake_is_said_in_one_line_before_anything_large_is_imported(
    line: tuple[str, ...], mistakes: dict[tuple[str, ...], Answer], place: Path
):
    code, out, err = mistakes[line]
    assert (code, out) == (2, "")
    assert MISTAKES[line] in err
    assert err.startswith("attnexport: ")
    assert err.count("\n") == 1
    assert sorted(os.listdir(place)) == ["e.plan", "file.onnx", "text.pt2"]


def test_targets_and_variants_need_nothing_large(place: Path):
    targets, variants = answers(place, [("targets",), ("variants",)], LARGE)
    assert (targets[0], targets[2], variants[0], variants[2]) == (0, "", 0, "")
    assert "a100" in targets[1]
    assert "2602.11534" in variants[1]


def test_inspect_needs_neither_torch_nor_onnxruntime(place: Path, converted: Path):
    ((code, out, err),) = answers(place, [("inspect", str(converted))], ("torch", "onnxruntime", "onnxscript"))
    assert (code, err) == (0, "")
    assert "KrauseAttention" in out
    assert "opset 20, fp32" in out


def test_reading_a_plugin_library_needs_neither_torch_nor_onnx(place: Path):
    """One that is no library at all is refused by the loader, behind every import."""
    ((code, _, err),) = answers(place, [("plugins", "info", "file.onnx")], LARGE)
    assert code == 2
    assert "file.onnx" in err
    assert "was imported" not in err
