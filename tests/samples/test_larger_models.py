"""The larger samples: their weights, their data, and that they predict what the page on samples says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from samples.code import model as code_models
from samples.code.data import LENGTH, ROWS, corpus
from samples.code.train import LEAST_ACCURACY as LEAST_CODE
from samples.glyphs import model as glyph_models
from samples.glyphs.data import CLASSES, TEST_SEED, draw
from samples.glyphs.train import LEAST_ACCURACY as LEAST_GLYPHS
from samples.glyphs.train import accuracy, tensors_of
from samples.language.text import evaluate

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
FILES = sorted(path for folder in ("glyphs", "code") for path in (SAMPLES / folder).glob("*.safetensors"))


def _trained(model: nn.Module, path: Path) -> nn.Module:
    model.load_state_dict(load_file(path))
    return model.eval()


def test_every_variant_has_weights_of_less_than_8_megabytes() -> None:
    assert [path.stem for path in FILES] == [*sorted(code_models.VARIANTS), *sorted(glyph_models.VARIANTS)]
    assert max(path.stat().st_size for path in FILES) < 8e6


def test_glyphs_are_the_same_however_many_processes_draw_them() -> None:
    alone, together = draw(2000, 3), draw(2000, 3, workers=2)
    assert np.array_equal(alone.image, together.image)
    assert np.array_equal(alone.labels, together.labels)
    assert (alone.image.dtype, float(alone.image.min()), float(alone.image.max())) == (np.float32, 0, 1)
    assert len(np.unique(alone.labels)) == len(CLASSES)


@pytest.mark.parametrize("variant", glyph_models.VARIANTS)
def test_glyph_model(variant: str) -> None:
    images, labels = tensors_of(draw(1000, TEST_SEED), torch.device("cpu"))
    model = _trained(getattr(glyph_models, variant)(), SAMPLES / "glyphs" / f"{variant}.safetensors")
    assert accuracy(model, images, labels) >= LEAST_GLYPHS


@pytest.mark.parametrize("variant", code_models.VARIANTS)
def test_code_model(variant: str) -> None:
    with np.load(SAMPLES / "code" / "test.npz", allow_pickle=False) as archive:
        tokens, labels = (torch.from_numpy(archive[name]) for name in ("tokens", "labels"))
    assert tokens.shape == labels.shape == (ROWS, LENGTH)
    assert torch.equal(tokens[:, 1:], labels[:, :-1])
    model = _trained(getattr(code_models, variant)(), SAMPLES / "code" / f"{variant}.safetensors")
    reached, _ = evaluate(model, tokens[::16], labels[::16])
    assert reached >= LEAST_CODE


def test_files_that_are_held_out_are_not_learnt() -> None:
    text = corpus()
    assert len(text.learnt) > 5 * len(text.held_out) > 1_000_000
    assert text.held_out[:2000] not in text.learnt
