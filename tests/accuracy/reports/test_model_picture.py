"""The picture of the model: every layer in its place, the guilty one marked, whatever the model's depth and names."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from attnexport.accuracy.check.budget import Budget
from attnexport.accuracy.check.findings import Bisection, LayerError
from attnexport.accuracy.reports.html.model_picture import NARROW, WIDE, Cell, Sliver, model_picture
from attnexport.accuracy.reports.html.model_tree import Node, model_tree
from tests.accuracy.reports.made_reports import deep_report


def error(layer: str, share: float = 0.5, op: str = "aten.linear") -> LayerError:
    """A tensor that uses so much of its budget."""
    return LayerError(layer, op, f"val of {layer}", share * 1e-6, 1e-7, Budget(5e-7, 0.0))


def outline(node: Node) -> object:
    """Names in their nesting."""
    return (node.name, [outline(child) for child in node.children]) if node.children else node.name


def test_numbered_modules_are_boxes_around_what_runs_in_them():
    layers = ["embed", "stages.0.blocks.0.norm", "stages.0.blocks.0.mlp.0", "stages.1.blocks.0.norm", "head"]
    tree = model_tree(layers, [])
    assert [outline(child) for child in tree.children] == [
        "embed",
        ("stages.0", [("blocks.0", ["norm", "mlp.0"])]),
        ("stages.1", [("blocks.0", ["norm"])]),
        "head",
    ]


def test_what_a_box_computes_itself_stands_where_it_runs():
    layers = ["embed", "blocks.0.attention", "blocks.0.mlp.0", "norm", "head"]
    own = [error("", op="aten.cat"), error("blocks.0.attention"), error("blocks.0", op="aten.add.Tensor")]
    own += [error("blocks.0.mlp.0"), error("blocks.0", op="aten.mul.Tensor"), error("", op="aten.select.int")]
    tree = model_tree(layers, [*own, error("head")])
    assert [outline(child) for child in tree.children] == [
        "embed",
        "cat",
        ("blocks.0", ["attention", "add", "mlp.0", "mul"]),
        "norm",
        "select",
        "head",
    ]


def test_layers_that_the_report_does_not_list_are_drawn_all_the_same():
    assert outline(model_tree([], [error("blocks.0.a"), error("b")])) == ("", [("blocks.0", ["a"]), "b"])


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize(("blocks", "guilty"), [(1, 0), (12, 7), (12, 99), (100, 0), (100, 57), (100, 999)])
def test_picture_shows_every_layer_without_overlaps(blocks: int, guilty: int, width: float):
    report = deep_report(blocks, guilty)
    found = report.contenders[0].bisection
    assert found is not None
    picture = model_picture(report.model.layers, found, width)
    assert picture is not None
    slivers = len(picture.slivers)
    compared = [cell for cell in picture.cells if cell.state != "not-compared"]
    assert len(compared) + slivers == len(found.layers)
    assert [cell.state for cell in picture.cells].count("guilty") == (found.guilty is not None)
    shapes: list[Cell | Sliver] = [*picture.cells, *picture.slivers]
    for shape in (*shapes, *picture.boxes):
        assert 0 <= shape.x <= shape.x + shape.width <= width + 1e-6
        assert 0 <= shape.y <= shape.y + shape.height <= picture.height + 1e-6
    for one, other in itertools.combinations(shapes, 2):
        apart_x = one.x + one.width <= other.x + 1e-6 or other.x + other.width <= one.x + 1e-6
        apart_y = one.y + one.height <= other.y + 1e-6 or other.y + other.height <= one.y + 1e-6
        assert apart_x or apart_y
    assert picture.height < 2500


def test_bars_are_longer_the_more_of_the_budget_is_used():
    shares = [0.0, 0.02, 0.5, 0.99, 1.5, 30.0, 1e5]
    layers = [error(f"layer_{number}", share) for number, share in enumerate(shares)]
    first = next(layer for layer in layers if not layer.passed)
    picture = model_picture([], Bisection(tuple(layers), first), WIDE)
    assert picture is not None
    used = [cell.used / cell.width for cell in picture.cells]
    assert used == sorted(used)
    assert (used[0], used[-1]) == (0.0, 1.0)
    assert [cell.used > cell.mark for cell in picture.cells] == [share > 1 for share in shares]


def test_tensors_without_a_budget_and_values_that_are_not_finite_are_told_in_words():
    layers = (
        dataclasses.replace(error("a"), budget=None),
        dataclasses.replace(error("b"), not_finite=3),
        dataclasses.replace(error("c", 1e9), wrong_shape="expected shape (2,), given (3,)"),
    )
    picture = model_picture([], Bisection(layers, layers[1]), WIDE)
    assert picture is not None
    amounts = [cell.amount for cell in picture.cells]
    assert amounts == ["no counterpart", "NaN or infinite, first outside", "another shape"]
    assert model_picture(["a"], Bisection((), None), WIDE) is None
