"""Opening libraries, and calls through the C interface."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch

from attnexport.errors import InputError
from attnexport.plugins.calling.build_info import BuildInfo, parse_build_info
from attnexport.plugins.calling.interface import Dtype, Status
from attnexport.plugins.calling.library import Library, load_library
from attnexport.plugins.calling.operators import Array, Call, OperatorError
from attnexport.plugins.calling.torch_calls import run_op
from tests.plugins.plain import compile_library


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.so: no such file"):
        load_library(tmp_path / "none.so")


def test_random_bytes_are_no_library(tmp_path: Path):
    path = tmp_path / "noise.so"
    path.write_bytes(os.urandom(4096))
    with pytest.raises(InputError, match=r"noise\.so: expected a plugin library, but it cannot be opened: "):
        load_library(path)


def test_another_library_is_refused(tmp_path: Path):
    source = tmp_path / "other.cpp"
    source.write_text('extern "C" int attnexport_other() { return 0; }\n')
    path = tmp_path / "libother.so"
    subprocess.run(["g++", "-shared", "-fPIC", "-o", str(path), str(source)], check=True)
    with pytest.raises(InputError, match="expected a library of attnexport plugins build"):
        load_library(path)


def test_another_abi_is_refused(tmp_path: Path):
    source = tmp_path / "header.h"
    source.write_text("#include <attnexport/op.h>\n#undef ATTNEXPORT_ABI\n#define ATTNEXPORT_ABI 77\n")
    path = compile_library(tmp_path / "libold.so", options=("-include", str(source)))
    with pytest.raises(InputError, match="expected ABI 1, given 77; build it again"):
        load_library(path)


def test_a_library_that_says_nothing_of_its_build(plain_library: Library):
    assert plain_library.info == BuildInfo()


def test_the_build_says_itself_what_it_is(tmp_path: Path):
    info = BuildInfo("0.1.0", "v3", "13.0", (87, 90), 90, ("one", "two"), ("float16",), 64, False, 'TensorRT "10"')
    header = tmp_path / "build_info.h"
    header.write_text(info.define)
    library = load_library(compile_library(tmp_path / "libinfo.so", options=("-include", str(header))))
    assert library.info == info
    assert library.ops == {}


@pytest.mark.parametrize("text", ["", "[]", "{", "no"])
def test_damaged_build_info_is_one_line(text: str):
    with pytest.raises(InputError, match="build info: expected"):
        parse_build_info(text)


def affine_call(rows: int = 3, **attributes: float) -> Call:
    shapes = [(2, 4, rows, 8), (2, 2, 5, 8), (2, 2, 5, 6), (2, 4, rows), (2, 4, rows)]
    return Call([Array(0, Dtype.FLOAT32, shape) for shape in shapes], {"scale": 1.0, "causal": 0, **attributes})


def test_workspace_is_asked_for_without_memory(plain_library: Library):
    assert plain_library.ops["AffineScaledAttention"].workspace(affine_call()) == 1000


def test_a_refused_call_says_what_was_given(plain_library: Library):
    with pytest.raises(OperatorError, match=r"no kernel .* covers .*\(2, 4, 3, 8\) float32.*causal=1") as caught:
        plain_library.ops["AffineScaledAttention"].launch(affine_call(causal=1), 4096, 1000)
    assert caught.value.status is Status.UNSUPPORTED
    with pytest.raises(OperatorError, match="workspace is too small"):
        plain_library.ops["AffineScaledAttention"].launch(affine_call(), 4096, 999)


def test_a_missing_attribute_is_named(plain_library: Library):
    with pytest.raises(InputError, match="AffineScaledAttention: expected the attribute scale, given none"):
        plain_library.ops["AffineScaledAttention"].workspace(Call(affine_call().inputs, {}))


def test_tensors_of_five_dims_are_refused(plain_library: Library):
    call = Call([Array(0, Dtype.FLOAT32, (1, 1, 1, 1, 1))], {"scale": 1.0, "causal": 0})
    with pytest.raises(InputError, match="at most four dims"):
        plain_library.ops["AffineScaledAttention"].workspace(call)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"output": torch.empty(1, 2, 3, 5)}, r"expected a contiguous output \(1, 2, 3, 4\) of torch.float32"),
        ({"output": torch.empty(1, 2, 3, 4, dtype=torch.float16)}, "given .* of torch.float16"),
        ({"output": torch.empty(1, 2, 4, 3).transpose(2, 3)}, "expected a contiguous output"),
        ({"v": None}, r"expected v as a tensor \(B, Hkv, M, Dv\), given NoneType"),
        ({"v": torch.rand(2, 5, 4)}, r"expected v as a tensor \(B, Hkv, M, Dv\), given \(2, 5, 4\)"),
        ({"q": torch.rand(1, 2, 3, 8, device="meta")}, "expected q on cpu, given meta"),
    ],
)
def test_tensors_that_would_be_misread_are_refused(plain_library: Library, change: dict[str, object], text: str):
    tensors: dict[str, object] = {"q": torch.rand(1, 2, 3, 8), "k": torch.rand(1, 2, 5, 8), "v": torch.rand(1, 2, 5, 4)}
    tensors |= {"alpha": torch.rand(1, 2, 3), "beta": torch.rand(1, 2, 3)} | change
    output = tensors.pop("output", None)
    op = plain_library.ops["AffineScaledAttention"]
    with pytest.raises(InputError, match=text):
        run_op(op, tensors, {"scale": 1.0, "causal": False}, output=output)
