"""Draws a tensor within its error budget and one outside it, for docs/error-budget.md, from a check that it runs.

    python docs/pictures/error_budget.py

converts samples/digits/krause.pt2, shifts one bias of a copy by 0.001, checks both files on the sample's test data, and
writes within.svg and outside.svg beside itself: how many elements of the output err by how much against float64, in the
file and in PyTorch at float32.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

import attnexport

HERE = Path(__file__).parent
DIGITS = HERE.parents[1] / "samples" / "digits"
BIAS, ELEMENT, SHIFT = "blocks.1.mlp.2.bias", 7, 0.001

WIDTH, HEIGHT = 560, 270
LEFT, RIGHT, TOP, BOTTOM = 24, 536, 80, 214
DECADES = (-11, -1)
BINS_PER_DECADE = 6
INK, TORCH, FILE, LIMIT = "#7b7f87", "#8d929b", "#2f7fd6", "#cf6a17"
"""Colours that can be read on white and on black, and by people who do not see red and green."""


@dataclass(frozen=True)
class Errors:
    """Absolute errors against float64 of every element of the output.

    Attributes:
        file: of the ONNX file.
        torch: of PyTorch at float32.
        limit: what the file may err.
    """

    file: NDArray[np.float64]
    torch: NDArray[np.float64]
    limit: float


def shifted(model: Path, out: Path) -> None:
    """Writes a copy of a model in which one element of one bias is another."""
    proto = onnx.load(model)
    bias = next(weight for weight in proto.graph.initializer if weight.name == BIAS)
    values = numpy_helper.to_array(bias).copy()
    values[ELEMENT] += SHIFT
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    onnx.save(proto, out)


def measured(files: Sequence[Path]) -> list[Errors]:
    """The errors of each file on the sample's test data, and the limit that the check gives it."""
    model = attnexport.load_model(DIGITS / "krause.pt2")
    data = DIGITS / "test.npz"
    report = attnexport.check(model, [str(file) for file in files], data=data)
    images = torch.from_numpy(np.load(data)["image"])
    exact, plain = (_outputs(model, images, dtype) for dtype in (torch.float64, torch.float32))
    found = []
    for file, contender in zip(files, report.contenders, strict=True):
        given = attnexport.run(file, data).outputs["output"]
        budget = contender.outputs[0].kinds[0].budget
        assert budget is not None
        found.append(Errors(np.abs(given - exact).ravel(), np.abs(plain - exact).ravel(), budget.limit))
        print(f"{file.name}: {contender.verdict}, largest error {found[-1].file.max():.3g}, allowed {budget.limit:.3g}")
    return found


def _outputs(model: attnexport.Model, images: torch.Tensor, dtype: torch.dtype) -> NDArray[np.float64]:
    parts = [model.run([part], dtype=dtype)[0] for part in images.split(64)]
    return torch.cat(parts).double().numpy()


def drawn(errors: Errors, title: str, name: str) -> str:
    """The picture as SVG."""
    edges = np.logspace(*DECADES, (DECADES[1] - DECADES[0]) * BINS_PER_DECADE + 1)
    torch_counts, file_counts = (np.histogram(values, edges)[0] for values in (errors.torch, errors.file))
    highest = max(torch_counts.max(), file_counts.max())
    largest = float(errors.file.max())
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'font-family="sans-serif" font-size="14" fill="{INK}">',
            f"<title>{title}</title>",
            f'<polygon points="{_steps(edges, torch_counts / highest)}" {_paint(TORCH)}/>',
            f'<polygon points="{_steps(edges, file_counts / highest)}" {_paint(FILE)} stroke-width="2"/>',
            f'<line x1="{LEFT}" x2="{RIGHT}" y1="{BOTTOM}" y2="{BOTTOM}" stroke="{INK}"/>',
            *(_tick(power) for power in range(DECADES[0], DECADES[1] + 1, 2)),
            _mark(errors.limit, LIMIT, f"allowed {errors.limit:.2e}", 18, left=largest > errors.limit),
            _mark(largest, FILE, f"{name} {largest:.2e}", 40, left=True),
            f'<text x="{LEFT}" y="{TOP - 8}">elements</text>',
            f'<text x="{RIGHT}" y="{HEIGHT - 8}" text-anchor="end">absolute error against float64</text>',
            _key(TORCH, "PyTorch at float32", 0),
            _key(FILE, name, 1),
            "</svg>\n",
        ]
    )


def _across(error: float) -> float:
    low, high = DECADES
    return float(LEFT + (np.log10(error) - low) / (high - low) * (RIGHT - LEFT))


def _steps(edges: NDArray[np.float64], heights: NDArray[np.float64]) -> str:
    """Corners of a histogram; heights from 0 to 1."""
    points = [(edges[0], 0.0)]
    for height, *sides in zip(heights, edges, edges[1:], strict=False):
        points += [(side, height) for side in sides]
    points.append((edges[-1], 0.0))
    return " ".join(f"{_across(x):.1f},{BOTTOM - height * (BOTTOM - TOP):.1f}" for x, height in points)


def _paint(colour: str) -> str:
    return f'fill="{colour}" fill-opacity="0.3" stroke="{colour}"'


def _tick(power: int) -> str:
    x = _across(10.0**power)
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{BOTTOM}" y2="{BOTTOM + 5}" stroke="{INK}"/>'
    return f'{line}<text x="{x:.1f}" y="{BOTTOM + 20}" text-anchor="middle">1e{power:+03d}</text>'


def _mark(error: float, colour: str, text: str, y: int, *, left: bool) -> str:
    """A line down to the axis, named at its top, to the left or right of it; the limit's is dashed."""
    x, style = _across(error), ' stroke-dasharray="6 4"' if colour == LIMIT else ""
    place = f'x="{x - 6:.1f}" text-anchor="end"' if left else f'x="{x + 6:.1f}"'
    line = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 12}" y2="{BOTTOM}" stroke="{colour}" stroke-width="2"{style}/>'
    return f'{line}<text {place} y="{y}" fill="{colour}">{text}</text>'


def _key(colour: str, text: str, row: int) -> str:
    y = TOP + 14 + 20 * row
    box = f'<rect x="{LEFT + 6}" y="{y - 10}" width="14" height="11" {_paint(colour)}/>'
    return f'{box}<text x="{LEFT + 27}" y="{y}">{text}</text>'


def main() -> None:
    """Writes the two pictures."""
    with tempfile.TemporaryDirectory() as folder:
        good, bad = Path(folder) / "krause.onnx", Path(folder) / "shifted.onnx"
        attnexport.convert(DIGITS / "krause.pt2", None, good)
        shifted(good, bad)
        within, outside = measured([good, bad])
    (HERE / "within.svg").write_text(drawn(within, "A tensor within its budget", good.name))
    (HERE / "outside.svg").write_text(drawn(outside, "A tensor outside its budget", bad.name))


if __name__ == "__main__":
    main()
