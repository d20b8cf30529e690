"""The sixth variant, as a contributor adds it: samples/sigmoid laid into the package is a variant like the others."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from attnexport.plugins.building.sources import Sources
from tests.plugins.keeping import compiled_once
from tests.plugins.libraries import EMULATOR, emulator_flags, link_emulated, run_all

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "samples" / "sigmoid"
KERNEL = SAMPLE / "sigmoid.cu"


def link(folder: Path, paths: Iterable[Path]) -> Path:
    """The folder, made of links to the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        (folder / path.name).symlink_to(path)
    return folder


def entries(folder: Path, without: str) -> list[Path]:
    return [path for path in folder.iterdir() if path.name not in (without, "__pycache__")]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as it stands, made of links, and the sample in it: a folder and a kernel file more."""
    root = tmp_path_factory.mktemp("package")
    package = link(root / "attnexport", [*entries(ROOT / "exporter", "variants"), ROOT / "calibration"])
    variants = link(package / "variants", entries(ROOT / "exporter" / "variants", ""))
    link(variants / "sigmoid", SAMPLE.glob("*.py"))
    plugins = link(package / "plugins", entries(ROOT / "plugins", "kernels"))
    link(plugins / "kernels", [*entries(ROOT / "plugins" / "kernels", ""), KERNEL])
    return root


def run_in(package: Path, *arguments: object) -> str:
    """Output of Python with that package, in a process of its own."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{package}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def lines_of_code(path: Path) -> int:
    """Lines of a Python file that are no docstring, comment or blank line."""
    text = path.read_text(encoding="utf-8")
    documentation: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            documentation |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), start=1)
    return sum(number not in documentation and not re.fullmatch(r"\s*(#.*)?", line) for number, line in lines)


def test_it_is_at_most_110_lines_of_code():
    kernel = [line for line in KERNEL.read_text().splitlines() if not re.fullmatch(r"\s*(//.*)?", line)]
    assert sum(map(lines_of_code, SAMPLE.glob("*.py"))) + len(kernel) <= 110


CONVERTED = """
import sys
import torch
import attnexport
from attnexport.plugins.building.sources import Sources
from attnexport.variants.registry import all_variants

assert [variant.name for variant in all_variants()] == ["affine", "hla", "krause", "sigmoid", "ssa", "topn"]
assert "sigmoid" in Sources().kernel_names
assert {"SigmoidAttention", "sigmoid_attention"} <= {*attnexport.__all__}

torch.manual_seed(0)
q, k, v = (torch.randn(2, 3, tokens, 5, dtype=torch.float64) for tokens in (7, 7, 7))
weights = 1 / (1 + torch.exp(1.5 - 0.3 * q @ k.transpose(-1, -2))) * torch.ones(7, 7).tril()
out = attnexport.sigmoid_attention(q, k, v, scale=0.3, bias=-1.5, causal=True)
assert torch.allclose(out, weights @ v, rtol=0, atol=1e-12)

model = attnexport.SigmoidAttention(16, 4, kv_heads=2, bias=-2.0, causal=True).eval()
args, sizes = (torch.randn(2, 9, 16),), {"x": {0: "batch", 1: "tokens"}}
conversion = attnexport.convert(model, args, sys.argv[1], dynamic_shapes=sizes)
assert conversion.variants == {"SigmoidAttention": 1}
report = attnexport.check(model, [sys.argv[1]], args, dynamic_shapes=sizes, seeds=1, longest=64)
assert report.passed, report
"""


@pytest.mark.slow
def test_it_is_converted_and_its_body_is_within_the_error_budget(package: Path, tmp_path: Path):
    run_in(package, "-c", CONVERTED, tmp_path / "sigmoid.onnx")


KERNELS = """
import sys
from attnexport.plugins.calling.library import load_library
from tests.plugins.kernel_cases import hold_to_reference
from tests.plugins.kernels.test_kernels import covering_calls

op = load_library(sys.argv[1]).ops["SigmoidAttention"]
calls = [(case, dtype) for case, dtype in covering_calls() if case.op_type == "SigmoidAttention"]
assert len(calls) > 20
for case, dtype in calls:
    assert hold_to_reference(case, op, dtype).good, (case, dtype)
"""


@pytest.mark.slow
@pytest.mark.needs("g++", "nvcc")
def test_its_kernel_is_within_the_error_budget(package: Path):
    def compile_all(folder: Path) -> None:
        sources = [KERNEL, Sources().registry, *EMULATOR.glob("*.cpp")]
        run_all([["g++", *emulator_flags(), "-c", str(path), "-o", str(folder / f"{path.name}.o")] for path in sources])
        link_emulated(folder / "libsigmoid.so", folder)

    run_in(package, "-c", KERNELS, compiled_once("sigmoid", compile_all, [KERNEL]) / "libsigmoid.so")


@pytest.mark.slow
def test_the_tests_of_operators_and_bodies_take_it_up(package: Path):
    tables = ("variants/test_cases.py", "variants/test_operators.py", "variants/test_modules.py")
    files = [ROOT / "tests" / name for name in (*tables, "onnx_files/test_bodies.py")]
    said = run_in(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "sigmoid or Sigmoid", *files)
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None
    assert int(passed[1]) > 100
