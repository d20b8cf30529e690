"""Head statistics, the regime rule and the report."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch

from attnexport.analysis.heads import Figures, HeadReport, HeadStatistics, RegimeRule, regime_of
from attnexport.analysis.layers import AttentionCall
from attnexport.analysis.report import draw_heat_map, table
from attnexport.display.terminal import Terminal
from attnexport.variants.geometry import geometry_of_weights

RULE = RegimeRule()


@pytest.mark.parametrize(
    ("sink", "output", "f_score", "entropy", "regime"),
    [
        (0.9, 0.1, 0.1, 0.1, "Reset"),
        (0.9, 0.1, 1.0, 0.9, "Reset"),
        (0.46, 0.74, 1.0, 0.1, "Reset"),
        (0.44, 0.1, 1.0, 0.1, "unclassified"),
        (0.36, 0.1, 1.0, 0.1, "unclassified"),
        (0.9, 0.76, 1.0, 0.1, "unclassified"),
        (0.9, 0.84, 1.0, 0.1, "unclassified"),
        (0.9, 0.86, 1.0, 0.1, "Retriever"),
        (0.1, 1.0, 0.9, 0.2, "Retriever"),
        (0.34, 0.1, 0.66, 0.54, "Retriever"),
        (0.1, 1.0, 0.64, 0.2, "unclassified"),
        (0.1, 1.0, 0.9, 0.56, "unclassified"),
        (0.1, 1.0, 0.9, 0.64, "unclassified"),
        (0.1, 1.0, 0.2, 0.2, "unclassified"),
        (0.1, 1.0, 0.9, 0.66, "Mixer"),
        (0.1, 1.0, 0.1, 0.9, "Mixer"),
        (0.1, 1.0, math.nan, 0.9, "Mixer"),
        (0.1, 1.0, math.nan, 0.1, "unclassified"),
    ],
)
def test_regime_follows_the_rule_and_keeps_clear_of_thresholds(sink, output, f_score, entropy, regime):
    assert regime_of(sink, output, f_score, entropy, RULE) == regime


def test_thresholds_are_options():
    assert regime_of(0.3, 0.9, 0.1, 0.9, RegimeRule(sink=0.1, output=1.0)) == "Reset"
    assert regime_of(0.44, 0.1, 1.0, 0.1, RegimeRule(slack=0.01)) == "Reset"


def call_of(weights: torch.Tensor, v: torch.Tensor, visible: torch.Tensor | None = None, layer: str = "layer"):
    seen = torch.ones(1, dtype=torch.bool) if visible is None else visible
    return AttentionCall(layer, "softmax attention", weights, v, seen)


def reports_of(*calls: AttentionCall, **options) -> list[HeadReport]:
    statistics = HeadStatistics(**options)
    for call in calls:
        statistics.add(call)
    return statistics.reports()


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_uniform_attention_has_full_entropy_and_local_mass_by_distance():
    (head,) = reports_of(call_of(torch.full((1, 1, 20, 20), 0.05), draw(1, 1, 20, 4)), rows=20)
    assert head.entropy == pytest.approx(1.0)
    assert head.sink == pytest.approx(0.05)
    near = np.abs(np.subtract.outer(np.arange(20), np.arange(20))) < 8
    assert head.local == pytest.approx(near.mean())
    assert head.output == 1.0


def test_hard_selection_of_two_keys_has_the_entropy_of_two_among_all():
    weights = torch.zeros(1, 1, 4, 64)
    weights[..., 10] = weights[..., 20] = 0.5
    (head,) = reports_of(call_of(weights, draw(1, 1, 64, 4)))
    assert head.entropy == pytest.approx(math.log(2) / math.log(64))
    assert head.sink == pytest.approx(0.5)


def test_entropy_counts_only_keys_that_a_row_sees():
    visible = torch.ones(6, 6, dtype=torch.bool).tril()
    weights = visible / visible.sum(-1, keepdim=True)
    (head,) = reports_of(call_of(weights[None, None], draw(1, 1, 6, 4), visible), rows=5)
    assert head.entropy == pytest.approx(1.0)


def test_rows_that_see_one_key_have_no_entropy():
    visible = torch.ones(1, 1, dtype=torch.bool)
    (head,) = reports_of(call_of(torch.ones(1, 1, 1, 1), draw(1, 1, 1, 4), visible))
    assert math.isnan(head.entropy)
    assert head.regime == "unclassified"


def test_sink_is_found_by_mass_wherever_it_is():
    weights = torch.full((1, 2, 5, 5), 0.1)
    weights[0, 0, :, 3] = weights[0, 1, :, 0] = 0.6
    heads = reports_of(call_of(weights, draw(1, 2, 5, 4)))
    assert [head.sink for head in heads] == pytest.approx([0.6, 0.6])


def test_outputs_are_norms_over_the_median_of_the_layer():
    weights = torch.full((1, 4, 3, 3), 1 / 3)
    v = torch.ones(1, 4, 3, 1) * torch.tensor([1.0, 2.0, 4.0, 8.0])[None, :, None, None]
    assert [head.output for head in reports_of(call_of(weights, v))] == pytest.approx([1 / 3, 2 / 3, 4 / 3, 8 / 3])


def test_layer_that_gives_nothing_has_no_undefined_output():
    heads = reports_of(call_of(torch.full((1, 2, 3, 3), 1 / 3), torch.zeros(1, 2, 3, 4)))
    assert [head.output for head in heads] == [0.0, 0.0]


def test_figures_are_means_over_measured_rows_samples_and_runs():
    calls = [
        call_of(torch.softmax(draw(2, 3, 9, 9, seed=seed), -1), draw(2, 3, 9, 4, seed=seed + 5)) for seed in (0, 1)
    ]
    heads = reports_of(*calls, sizes=(2, 5), rows=3)
    measured = [0, 4, 8]
    for n in (2, 5):
        whole = [
            geometry_of_weights(call.weights[:, :, measured], call.v, n, call.visible, random_controls=16)
            for call in calls
        ]
        for kind in ("selected", "random"):
            for name in ("precision", "recall", "f_score", "margin"):
                wanted = torch.cat([getattr(getattr(part, kind), name) for part in whole]).mean(dim=(0, 2))
                given = [getattr(getattr(head, kind)[n], name) for head in heads]
                assert given == pytest.approx(wanted.tolist())


def test_one_measured_row_is_the_last():
    weights = torch.zeros(1, 1, 3, 3)
    weights[0, 0] = torch.eye(3).flip(0)
    (head,) = reports_of(call_of(weights, draw(1, 1, 3, 4)), rows=1, sizes=(2,))
    assert head.sink == pytest.approx(weights[0, 0, 2, 0])


def test_rows_with_too_few_keys_do_not_spoil_the_mean():
    visible = torch.ones(6, 6, dtype=torch.bool).tril()
    weights = torch.softmax(draw(1, 1, 6, 6).masked_fill(~visible, -torch.inf), -1)
    heads = reports_of(call_of(weights, draw(1, 1, 6, 4), visible), rows=6, sizes=(2, 8))
    assert 0 <= heads[0].selected[2].f_score <= 1
    assert math.isnan(heads[0].selected[8].f_score)


def one_hot_head() -> AttentionCall:
    weights = torch.full((1, 1, 30, 30), 0.001)
    for row in range(30):
        weights[0, 0, row, row] = weights[0, 0, row, (row + 7) % 30] = 0.486
    return call_of(weights, draw(1, 1, 30, 16))


def test_retriever_is_told_from_mixer_in_any_order_of_sizes():
    for sizes in ((2, 4), (4, 2), (2, 40), (40, 2)):
        assert reports_of(one_hot_head(), sizes=sizes)[0].regime == "Retriever"
    mixer = call_of(torch.full((1, 1, 30, 30), 1 / 30), draw(1, 1, 30, 16))
    assert reports_of(mixer)[0].regime == "Mixer"


def test_one_selected_key_never_makes_a_retriever():
    (head,) = reports_of(one_hot_head(), sizes=(1,))
    assert head.selected[1].f_score == 1.0
    assert head.regime == "unclassified"


def report(layer: str, head: int, f_score: float, regime: str) -> HeadReport:
    figures = Figures(f_score, f_score, f_score, -0.1)
    control = Figures(0.25, 0.25, 0.25, 0.1)
    return HeadReport(layer, "softmax attention", head, {4: figures}, {4: control}, 0.1, 0.2, 0.3, 1.0, regime)


def grid(layers: list[str], heads: int) -> list[HeadReport]:
    regimes = ["Retriever", "Mixer", "Reset", "unclassified"]
    return [
        report(layer, head, (index * heads + head) / (len(layers) * heads), regimes[head % 4])
        for index, layer in enumerate(layers)
        for head in range(heads)
    ]


@pytest.mark.parametrize(
    ("layers", "heads"),
    [
        (["attention"], 1),
        (["a"], 12),
        (["encoder.layers.0.self_attention.inner_attention"], 1),
        ([f"blocks.{index}.attention" for index in range(4)], 4),
        ([f"model.layers.{index}.self_attn" for index in range(32)], 32),
    ],
)
def test_heat_map_is_a_png_of_sensible_size_with_nothing_cut_off(tmp_path: Path, layers, heads, recwarn):
    path = tmp_path / "map.png"
    draw_heat_map(grid(layers, heads), 4, path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    image = matplotlib.image.imread(path)[..., :3]
    height, width = image.shape[:2]
    assert 600 <= width <= 4000
    assert 250 <= height <= 4000
    edges = [image[0], image[-1], image[:, 0], image[:, -1]]
    assert all((edge == 1.0).all() for edge in edges)
    assert not [warning for warning in recwarn if "layout" in str(warning.message)]


def test_heat_map_leaves_undefined_cells_grey(tmp_path: Path):
    draw_heat_map([report("a", 0, math.nan, "Mixer"), report("a", 1, 0.9, "Mixer")], 4, tmp_path / "map.png")
    pixels = matplotlib.image.imread(tmp_path / "map.png")[..., :3].reshape(-1, 3)
    assert (np.abs(pixels - 0.8).max(-1) < 0.01).mean() > 0.1


def test_table_has_every_head_with_its_controls_and_regime():
    text = "\n".join(table(grid(["first", "second"], 2)).lines(Terminal(120)))
    assert all(word in text for word in ("first", "second", "Retriever", "Mixer", "0.75 (0.25)", "-0.1 (+0.1)"))
