"""--arch: what is known, and what this nvcc compiles for."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnexport.errors import InputError
from attnexport.plugins.building.architectures import choose_architectures, compiles_hopper, gencode
from attnexport.plugins.building.toolchain import Nvcc

CUDA_12 = Nvcc(Path("nvcc"), "12.8", (75, 80, 86, 87, 89, 90, 100, 101, 120))
CUDA_13 = Nvcc(Path("nvcc"), "13.0", (75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121))


def test_architectures_come_sorted_and_once():
    assert choose_architectures([90, 87, 90], CUDA_13) == (87, 90)


def test_an_unknown_architecture_is_refused_with_the_list():
    with pytest.raises(InputError, match=r"architectures: expected one of 80 86 87 89 90 100 101 110 120, given 75"):
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


@pytest.mark.parametrize(
    ("cuda", "architectures", "compiles"),
    [("13.0", (87, 90), True), ("12.2", (90,), False), ("12.8", (87, 100), False)],
)
def test_hoppers_own_kernels_want_sm_90_and_a_cuda_that_knows_them(
    cuda: str, architectures: tuple[int, ...], compiles: bool
):
    assert compiles_hopper(architectures, Nvcc(Path("nvcc"), cuda, ())) is compiles
