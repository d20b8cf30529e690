"""--arch: what is known, and what this nvcc compiles for."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnexport.errors import InputError
from attnexport.plugins.architectures import choose_architectures, gencode
from attnexport.plugins.toolchain import Nvcc, find_nvcc, find_tool

CUDA_12 = Nvcc(Path("nvcc"), "12.8", (75, 80, 86, 87, 89, 90, 100, 101, 120))
CUDA_13 = Nvcc(Path("nvcc"), "13.0", (75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121))


def test_architectures_come_sorted_and_once():
    assert choose_architectures([90, 87, 90], CUDA_13) == (87, 90)


def test_an_unknown_architecture_is_refused_with_the_list():
    with pytest.raises(InputError, match=r"--arch: expected one of 80 86 87 89 90 100 101 110 120, given 75"):
        choose_architectures([75], CUDA_13)


@pytest.mark.parametrize(
    ("given", "nvcc", "said"),
    [
        (110, CUDA_12, r"nvcc of CUDA 12.8 compiles for 80 .* 101 120, given 110 \(Thor is 101 before CUDA 13.0\)"),
        (101, CUDA_13, r"nvcc of CUDA 13.0 compiles for 80 .* 110 120, given 101 \(Thor is 110 from CUDA 13.0 on\)"),
    ],
)
def test_what_nvcc_does_not_compile_is_refused(given: int, nvcc: Nvcc, said: str):
    with pytest.raises(InputError, match=said):
        choose_architectures([given], nvcc)


def test_gencode_adds_ptx_of_the_highest():
    assert gencode([87, 90]) == [
        "-gencode=arch=compute_87,code=sm_87",
        "-gencode=arch=compute_90,code=sm_90",
        "-gencode=arch=compute_90,code=compute_90",
    ]


@pytest.mark.skipif(find_tool("nvcc") is None, reason="needs nvcc")
def test_the_nvcc_here_says_what_it_can():
    nvcc = find_nvcc()
    assert float(nvcc.cuda) >= 11.8
    assert {80, 86, 90} <= set(nvcc.architectures)


def test_cuda_home_comes_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for folder in ("home/bin", "path"):
        (tmp_path / folder).mkdir(parents=True)
        program = tmp_path / folder / "nvcc"
        program.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "release 12.6, V12" || echo compute_87\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.delenv("CUDA_HOME", raising=False)
    assert find_tool("nvcc") == tmp_path / "path" / "nvcc"
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "home"))
    assert find_nvcc() == Nvcc(tmp_path / "home" / "bin" / "nvcc", "12.6", (87,))


def test_a_program_that_is_no_compiler_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "bin" / "nvcc"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho broken >&2; exit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"nvcc: --version failed: broken"):
        find_nvcc()
