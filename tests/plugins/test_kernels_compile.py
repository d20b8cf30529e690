"""The CUDA kernels compile for Jetson Orin and for Hopper, without spilling registers in the common widths."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "plugins"
KERNELS = sorted((ROOT / "kernels").glob("*.cu"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc"),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda path: path.stem)
def test_kernel_is_valid_for_orin(kernel, tmp_path):
    command = ["nvcc", "-std=c++17", "-ptx", "-arch=compute_87", f"-I{ROOT / 'include'}", "-Werror=all-warnings"]
    done = subprocess.run([*command, "-o", tmp_path / "out.ptx", kernel], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_krause_assembles_for_hopper_with_few_spills(tmp_path):
    command = ["nvcc", "-O3", "-std=c++17", "-gencode=arch=compute_90,code=sm_90", "-Xptxas=-v", "-cubin"]
    kernel = next(path for path in KERNELS if path.stem == "krause")
    command += [f"-I{ROOT / 'include'}", "-o", str(tmp_path / "out.cubin"), str(kernel)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    spills = [int(line.split("bytes spill stores")[0].split(",")[-1]) for line in done.stderr.splitlines() if "spill stores" in line]  # fmt: skip  # noqa: E501
    assert len(spills) >= 20
    assert max(spills) == 0
