"""A user's arrays against the inputs of a model file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attnexport.backends import TensorInfo
from attnexport.engines.inputs import fit_inputs
from attnexport.errors import InputError
from attnexport.files.npz import open_arrays
from attnexport.plugins.runtime.request import Profile

DATA = Path("in.npz")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fit(infos: tuple[TensorInfo, ...], given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    np.savez(DATA, **given)
    with open_arrays(DATA) as stored:
        return fit_inputs(infos, stored, DATA)


IMAGE = TensorInfo("image", "float16", (-1, 8), Profile((1, 8), (4, 8), (32, 8)))
TOKENS = TensorInfo("tokens", "int32", (-1,))


def test_arrays_take_the_types_of_the_inputs():
    given = {"image": np.ones((32, 8)), "tokens": np.arange(5)}
    fitted = fit((IMAGE, TOKENS), given)
    assert (fitted["image"].dtype, fitted["tokens"].dtype) == (np.float16, np.int32)
    assert np.array_equal(fitted["tokens"], given["tokens"])
    assert fit((TensorInfo("x", "bfloat16", (2,)),), {"x": np.ones(2)})["x"].dtype == np.float32


@pytest.mark.parametrize("rows", [0, 33])
def test_shapes_outside_the_profile(rows: int):
    with pytest.raises(InputError) as caught:
        fit((IMAGE,), {"image": np.ones((rows, 8))})
    assert str(caught.value) == f"in.npz: input image, axis 0: the engine was built for 1 to 32, given {rows}"


def test_integers_that_the_type_does_not_hold():
    with pytest.raises(InputError, match=r"in\.npz: expected tokens \(\?\) int32, given \(2,\) int64"):
        fit((TOKENS,), {"tokens": np.array([0, 2**31])})


def test_arrays_of_size_0_where_the_file_takes_them():
    assert fit((TOKENS,), {"tokens": np.zeros(0, np.int32)})["tokens"].shape == (0,)
    assert fit((TensorInfo("x", "float32", (0, 2)),), {"x": np.zeros((0, 2))})["x"].shape == (0, 2)
    with pytest.raises(InputError, match=r"in\.npz: expected x \(3, 2\) float32, given \(0, 2\) float64"):
        fit((TensorInfo("x", "float32", (3, 2)),), {"x": np.zeros((0, 2))})


def test_a_name_that_stands_for_two_sizes():
    infos = (TensorInfo("x", "float32", ("batch", 4)), TensorInfo("y", "float32", (4, "batch")))
    assert len(fit(infos, {"x": np.ones((3, 4)), "y": np.ones((4, 3))})) == 2
    with pytest.raises(InputError) as caught:
        fit(infos, {"x": np.ones((3, 4)), "y": np.ones((4, 2))})
    assert str(caught.value) == "in.npz: input y: expected batch to be 3 as in x, given 2"
