"""Draws the data of the glyph models: distorted letters and digits in the typefaces that matplotlib brings.

``python samples/glyphs/data.py -o test.npz`` writes the test set.
"""

from __future__ import annotations

import argparse
import hashlib
import string
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIDE = 28
CLASSES = string.digits + string.ascii_lowercase + string.ascii_uppercase
FACES = (
    *(f"DejaVu{face}" for face in ("Sans", "Sans-Bold", "Sans-Oblique", "Sans-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmss10", "cmtt10"),
)
TEST_IMAGES, TEST_SEED = 10_000, 1_000_000
_CANVAS = 64
_CHUNK = 1_000


@dataclass(frozen=True)
class Glyphs:
    """Images and their classes.

    Attributes:
        image: (B, 28, 28) float32, 0 to 1.
        labels: (B,) int64, places in CLASSES.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.int64]


def draw(count: int, seed: int, *, workers: int = 1) -> Glyphs:
    """Random glyphs, the same for the same seed, however many workers draw; ``count`` a multiple of 1000."""
    if count % _CHUNK:
        raise ValueError(f"count: expected a multiple of {_CHUNK}, given {count}")
    seeds = [(seed, number) for number in range(count // _CHUNK)]
    if workers == 1:
        parts = [_draw_chunk(one) for one in seeds]
    else:
        with ProcessPoolExecutor(workers) as pool:
            parts = list(pool.map(_draw_chunk, seeds))
    return Glyphs(np.concatenate([part.image for part in parts]), np.concatenate([part.labels for part in parts]))


def _draw_chunk(seed: tuple[int, int]) -> Glyphs:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, len(CLASSES), _CHUNK)
    images = np.stack([_noisy(_glyph(CLASSES[label], generator), generator) for label in labels])
    return Glyphs(images, labels)


def _glyph(character: str, generator: np.random.Generator) -> NDArray[np.float32]:
    """A character in a random face, turned by up to 20°, sheared, stretched and moved, (28, 28) float32 of 0 to 1."""
    canvas = Image.new("L", (_CANVAS, _CANVAS))
    centre = _CANVAS / 2
    face = FACES[generator.integers(len(FACES))]
    ImageDraw.Draw(canvas).text((centre, centre), character, font=_font(face), fill=255, anchor="mm")
    angle, shear = np.deg2rad(generator.uniform(-20, 20)), generator.uniform(-0.25, 0.25)
    width, height = generator.uniform(1.3, 2.1, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[width, shear], [0, height]])
    offset = centre - matrix @ (SIDE / 2 + generator.uniform(-2.5, 2.5, 2))
    coefficients = (*matrix[0], offset[0], *matrix[1], offset[1])
    drawn = canvas.transform((SIDE, SIDE), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    return np.asarray(drawn, np.float32) / np.float32(255)


def _noisy(image: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """The image with less contrast, on another ground, with noise of deviation 0.05 to 0.25."""
    ground, ink = generator.uniform(0, 0.3), generator.uniform(0.5, 1)
    noise = generator.normal(0, generator.uniform(0.05, 0.25), image.shape)
    shown = np.clip(ground + (ink - ground) * image + noise, 0, 1)
    return (np.rint(shown * 255) / 255).astype(np.float32)


@cache
def _font(face: str) -> ImageFont.FreeTypeFont:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / f"{face}.ttf"), 40)


def _about(glyphs: Glyphs) -> Iterator[str]:
    yield f"Pillow {PIL.__version__}, matplotlib {matplotlib.__version__}"
    yield f"{len(glyphs.labels)} images, SHA-256 {hashlib.sha256(glyphs.image.tobytes()).hexdigest()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .npz to write")
    parser.add_argument("--images", type=int, default=TEST_IMAGES)
    parser.add_argument("--seed", type=int, default=TEST_SEED)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    glyphs = draw(options.images, options.seed, workers=options.workers)
    np.savez_compressed(options.output, image=glyphs.image, labels=glyphs.labels)
    for line in _about(glyphs):
        print(line)


if __name__ == "__main__":
    main()
