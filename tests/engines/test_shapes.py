"""Profiles: as given, from the ranges in a file, and those that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx.helper import make_node

from attnexport.engines.shape_texts import parse_shapes
from attnexport.engines.shapes import profiles_for
from attnexport.errors import InputError
from attnexport.graph.inspection import read_model
from attnexport.plugins.runtime.request import Profile
from tests.engines.models import save_graph, value


@pytest.fixture
def two_inputs(tmp_path: Path):
    inputs = [value("x", ["batch", "n", 4]), value("w", ["batch"])]
    return read_model(save_graph(tmp_path / "two.onnx", [make_node("Relu", ["x"], ["y"])], inputs))


def test_three_shapes_and_one():
    assert parse_shapes(["x=1x16:8x128:32x1024", "a=b=2"]) == {
        "x": Profile((1, 16), (8, 128), (32, 1024)),
        "a=b": Profile((2,), (2,), (2,)),
    }


def test_ranges_in_the_file_make_a_profile(two_inputs):
    two_inputs.metadata_props["attnexport.dims"] = "batch=1..8 n=2..64"
    assert profiles_for(two_inputs, {}) == {
        "x": Profile((1, 2, 4), (8, 64, 4), (8, 64, 4)),
        "w": Profile((1,), (8,), (8,)),
    }


def test_a_range_without_an_end_makes_none(two_inputs):
    two_inputs.metadata_props["attnexport.dims"] = "batch=1..8 n=2.."
    with pytest.raises(InputError) as caught:
        profiles_for(two_inputs, {})
    assert str(caught.value) == (
        "shapes x: axis 1 (n) has no upper bound in the file: give shapes x=MIN:OPT:MAX, three shapes such as 1x1x4"
    )


def test_one_name_is_one_range(two_inputs):
    given = parse_shapes(["x=1x2x4:8x64x4:8x64x4", "w=1:4:4"])
    with pytest.raises(InputError) as caught:
        profiles_for(two_inputs, given)
    assert str(caught.value) == "shapes w: batch is 1:4:4 here and 1:8:8 in x: expected one range"
