"""The saved samples: their data, their sizes, their accuracy in PyTorch and that their dynamic dims are dynamic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from attnexport import load_model
from samples.digits import model as digit_models
from samples.digits.train import LEAST_ACCURACY, accuracy, digits, shifted
from samples.language import model as character_models
from samples.language.text import encode, evaluate, spread_rows
from samples.language.train import LENGTH, TEST_ROWS, corpus

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
DIGITS = sorted(path.stem for path in (SAMPLES / "digits").glob("*.pt2"))
LANGUAGE = sorted(path.stem for path in (SAMPLES / "language").glob("*.pt2"))


def _program(sample: str, variant: str) -> torch.nn.Module:
    loaded = load_model(SAMPLES / sample / f"{variant}.pt2")
    assert loaded.program is not None
    return loaded.program.module()


def _arrays(sample: str) -> dict[str, Tensor]:
    with np.load(SAMPLES / sample / "test.npz", allow_pickle=False) as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


def test_every_variant_has_a_sample() -> None:
    assert sorted(digit_models.VARIANTS) == DIGITS
    assert len(LANGUAGE) == 2
    assert set(LANGUAGE) <= set(character_models.VARIANTS)


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*/*.pt2")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_file_is_small_and_names_no_folder_of_the_machine(path: Path) -> None:
    data = path.read_bytes()
    assert len(data) < 1_000_000
    for folder in (b"/work", b"/home", b"/root", b"site-packages"):
        assert folder not in data


def test_digit_images_are_the_fixed_split() -> None:
    saved = _arrays("digits")
    train_x, train_y, test_x, test_y = digits()
    assert torch.equal(saved["image"], test_x)
    assert torch.equal(saved["labels"], test_y)
    assert (len(train_x), len(train_y)) == (1437, 1437)
    assert (saved["image"].dtype, saved["labels"].dtype) == (torch.float32, torch.int64)


def test_shifted_images_move_by_at_most_one_pixel() -> None:
    image = torch.zeros(300, 8, 8)
    image[:, 3, 4] = 1.0
    moved = shifted(image, torch.Generator().manual_seed(0))
    assert torch.equal(moved.sum((1, 2)), torch.ones(300))
    assert torch.equal(moved[:, 2:5, 3:6].sum((1, 2)), torch.ones(300))
    assert 0 < (moved != image).flatten(1).any(1).sum() < 150


@pytest.mark.parametrize("variant", DIGITS)
def test_digit_model(variant: str) -> None:
    program, data = _program("digits", variant), _arrays("digits")
    with torch.no_grad():
        logits = program(data["image"])
        one_by_one = torch.cat([program(image[None]) for image in data["image"][:5]])
    assert (logits.argmax(-1) == data["labels"]).double().mean() >= LEAST_ACCURACY[variant]
    torch.testing.assert_close(one_by_one, logits[:5], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("variant", digit_models.VARIANTS)
def test_digit_factory_gives_an_untrained_model(variant: str) -> None:
    torch.manual_seed(0)
    model = getattr(digit_models, variant)()
    images, labels = _arrays("digits").values()
    assert accuracy(model, images, labels) < 0.5
    assert (
        model.state_dict().keys() == dict(load_model(SAMPLES / "digits" / f"{variant}.pt2").program.state_dict).keys()
    )


def test_characters_become_tokens() -> None:
    assert encode(" A~\n\t“").tolist() == [1, 34, 95, 96, 0, 0]


def test_language_rows_are_followed_by_their_labels() -> None:
    saved = _arrays("language")
    assert saved["tokens"].shape == saved["labels"].shape == (32, 128)
    assert torch.equal(saved["tokens"][:, 1:], saved["labels"][:, :-1])
    assert int(saved["tokens"].max()) < character_models.VOCABULARY


def test_held_out_rows_are_read_from_the_text() -> None:
    encoded = encode(corpus())
    tokens, labels = spread_rows(encoded[len(encoded) * 9 // 10 :], TEST_ROWS, LENGTH)
    assert torch.equal(tokens[:, 1:], labels[:, :-1])
    assert int(labels[-1, -1]) == int(encoded[-1])


@pytest.mark.parametrize("variant", LANGUAGE)
def test_language_model(variant: str) -> None:
    program, data = _program("language", variant), _arrays("language")
    reached, bits = evaluate(getattr(character_models, variant)(), data["tokens"], data["labels"])
    assert reached < 0.2
    assert bits > 4
    with torch.no_grad():
        logits = program(data["tokens"])
        beginning = program(data["tokens"][:3, :45])
        shortest, longest = program(data["tokens"][:1, :2]), program(data["tokens"].reshape(1, 4096))
    assert (logits.argmax(-1) == data["labels"]).double().mean() >= 0.45
    assert longest.shape == (1, 4096, character_models.VOCABULARY)
    torch.testing.assert_close(beginning, logits[:3, :45], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(shortest, logits[:1, :2], rtol=1e-3, atol=1e-3)
