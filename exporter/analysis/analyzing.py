"""attnexport.analyze: the geometry of top-N selections in a model's attention layers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from attnexport.accuracy.inputs.data_notes import DataNotes
from attnexport.accuracy.inputs.files import data_batches
from attnexport.analysis.heads import HeadReport, HeadStatistics
from attnexport.analysis.json_report import as_json
from attnexport.analysis.layers import visit_attention
from attnexport.analysis.report import draw_heat_map
from attnexport.display.progress import Progress, unheard
from attnexport.errors import InputError
from attnexport.files.kinds import JSON, PNG
from attnexport.files.outputs import replacing, write_json
from attnexport.models.loading.sources import ModelSource, as_model
from attnexport.models.state.choices import AS_NEEDED


@dataclass(frozen=True)
class Analysis:
    """What was found in a model's attention layers.

    Attributes:
        heads: every head of every layer.
        samples: how many were read.
        sizes: selection sizes.
        distance: between values, "euclidean" or "cosine".
        notes: what a user should know, one sentence each.
    """

    heads: tuple[HeadReport, ...]
    samples: int
    sizes: tuple[int, ...]
    distance: str
    notes: tuple[str, ...] = ()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the figures as JSON, or a heat map as PNG, by the name's end.

        Raises:
            InputError: another ending, or a file that cannot be written.
        """
        target = Path(path)
        if target.suffix in JSON.suffixes:
            write_json(target, self.as_json())
        elif target.suffix in PNG.suffixes:
            self.draw(target)
        else:
            raise InputError(f"{target}: expected a name that ends in .json or .png")

    def as_json(self) -> dict[str, Any]:
        """The figures in plain types; undefined ones are null."""
        return as_json(self.heads, samples=self.samples, distance=self.distance, notes=self.notes)

    def draw(self, path: Path) -> None:
        """Writes the heat map of the middle selection size as PNG, whatever the file's name."""
        with replacing(path) as staging:
            draw_heat_map(self.heads, self.sizes[len(self.sizes) // 2], staging / path.name)


def analyze(
    model: ModelSource,
    data: str | os.PathLike[str],
    args: Sequence[Any] | Tensor | None = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    sizes: Sequence[int] = (2, 4, 8),
    rows: int = 8,
    samples: int = 64,
    distance: str = "euclidean",
    progress: Progress = unheard,
) -> Analysis:
    """Precision, recall, F and margin of the N most attended keys in value space, layer by layer and head by head.

    arXiv 2602.01893, as restated in 2609.37879; beside random selections of the same size, and each head's regime by
    a rule of ours.

    Args:
        model, args, kwargs, dynamic_shapes: as :func:`attnexport.check` takes them.
        data: an .npz of inputs, or a folder of them.
        sizes: selection sizes N. Default: 2, 4 and 8.
        rows: query rows a sample. Default: 8.
        samples: to read. Default: 64.
        distance: between values, "euclidean" or "cosine". Default: "euclidean".
        progress: is told of each step, and the share of it that is done or None. Default: nobody is.

    Raises:
        InputError: a model or data that cannot be used, or a model without attention layers.
        ConversionError: the module cannot be exported.
    """
    progress("exporting", None)
    held = as_model(model, args, kwargs, dynamic_shapes).without_state(AS_NEEDED)
    statistics = HeadStatistics(sizes, rows=rows, distance=distance)
    read, of_data = 0, DataNotes()
    for batch in data_batches(held, data, limit=samples, notes=of_data):
        progress(f"reading {batch.source}", min(read / samples, 1.0))
        visit_attention(held, batch.tensors, statistics.add)
        read += batch.rows
    heads = tuple(statistics.reports())
    if not heads:
        raise InputError(
            f"{held.name}: expected attention layers (attnexport's or scaled_dot_product_attention), found none"
        )
    notes = (*held.all_notes, *of_data.sentences(), *statistics.notes())
    return Analysis(heads, read, tuple(sizes), distance, notes)
