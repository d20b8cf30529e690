"""Whether arrays fit inputs: what `check` takes, `run` takes."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.files.fitting import clash, fits, holds, takes


@pytest.mark.parametrize(
    ("wanted", "given", "fit"),
    [
        (("batch", 4), (9, 4), True),
        ((-1, 4), (9, 4), True),
        (("batch", 4), (9, 5), False),
        ((), (), True),
        ((), (1,), False),
        (("batch",), (2, 2), False),
    ],
)
def test_ranks_and_fixed_sizes_must_be_the_inputs(wanted, given, fit):
    assert fits(wanted, given) == fit


def test_the_first_name_of_two_sizes_is_found():
    shapes = [("x", ("batch", 4), (3, 4)), ("y", (4, "batch"), (4, 3)), ("z", ("batch", -1), (2, 7))]
    assert clash(shapes[:2]) is None
    found = clash(shapes)
    assert found is not None
    assert (found.name, found.size, found.input, found.axis) == ("batch", 2, "z", 0)
    assert (found.first_size, found.first_input, found.first_axis) == (3, "x", 0)


@pytest.mark.parametrize(
    ("wanted", "values", "taken"),
    [
        ("int32", [0, 2**31], False),
        ("int32", [-(2**31), 2**31 - 1], True),
        ("uint8", [-1], False),
        ("bool", [0, 1], True),
        ("bool", [0, 2], False),
        ("int64", [True], True),
        ("int64", [1.0], False),
        ("float16", [1e6], True),
        ("float32", [1], False),
    ],
)
def test_values_are_rounded_and_never_wrapped(wanted, values, taken):
    array = np.array(values)
    assert (takes(np.dtype(wanted), array.dtype) and holds(np.dtype(wanted), array)) == taken
