"""A user's arrays against the inputs of a model file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attnexport.backends import TensorInfo
from attnexport.backends.building import Profile
from attnexport.engines.inputs import fit_inputs
from attnexport.errors import InputError

DATA = Path("in.npz")
IMAGE = TensorInfo("image", "float16", (-1, 8), Profile((1, 8), (4, 8), (32, 8)))
TOKENS = TensorInfo("tokens", "int32", (-1,))


def test_arrays_take_the_types_of_the_inputs():
    given = {"image": np.ones((32, 8)), "tokens": np.arange(5)}
    fitted = fit_inputs((IMAGE, TOKENS), given, DATA)
    assert (fitted["image"].dtype, fitted["tokens"].dtype) == (np.float16, np.int32)
    assert np.array_equal(fitted["tokens"], given["tokens"])
    assert fit_inputs((TensorInfo("x", "bfloat16", (2,)),), {"x": np.ones(2)}, DATA)["x"].dtype == np.float32


@pytest.mark.parametrize("rows", [0, 33])
def test_shapes_outside_the_profile(rows: int):
    with pytest.raises(InputError) as caught:
        fit_inputs((IMAGE,), {"image": np.ones((rows, 8))}, DATA)
    assert str(caught.value) == f"in.npz: input image, axis 0: the engine was built for 1 to 32, given {rows}"


def test_integers_that_the_type_does_not_hold():
    with pytest.raises(InputError, match=r"in\.npz: expected tokens \(\?\) int32, given \(2,\) int64"):
        fit_inputs((TOKENS,), {"tokens": np.array([0, 2**31])}, DATA)


def test_an_empty_array():
    with pytest.raises(InputError) as caught:
        fit_inputs((TOKENS,), {"tokens": np.zeros(0, np.int32)}, DATA)
    assert str(caught.value) == "in.npz: input tokens: expected sizes of 1 or more, given (0,)"
    fixed = TensorInfo("x", "float32", (0, 2))
    assert fit_inputs((fixed,), {"x": np.zeros((0, 2))}, DATA)["x"].shape == (0, 2)


def test_a_name_that_stands_for_two_sizes():
    infos = (TensorInfo("x", "float32", ("batch", 4)), TensorInfo("y", "float32", (4, "batch")))
    assert len(fit_inputs(infos, {"x": np.ones((3, 4)), "y": np.ones((4, 3))}, DATA)) == 2
    with pytest.raises(InputError) as caught:
        fit_inputs(infos, {"x": np.ones((3, 4)), "y": np.ones((4, 2))}, DATA)
    assert str(caught.value) == "in.npz: input y: expected batch to be 3 as in x, given 2"
