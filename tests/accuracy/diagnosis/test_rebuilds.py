"""Rebuilds compared: a builder that is honest, and one whose engines differ."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import attnexport
from attnexport.accuracy.check.results import ContenderResult
from attnexport.accuracy.contenders.facts import ContenderFacts
from attnexport.accuracy.diagnosis.rebuilds import compare_builds
from attnexport.accuracy.inputs.files import Batch
from attnexport.accuracy.reports.terminal import result_lines
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.models.model import Model


def linear(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(6, 4).eval()


@pytest.fixture(scope="module")
def batch() -> Batch:
    return Batch("one", (torch.ones(3, 6),))


def built(batch: Batch, seeds: list[int]):
    """ONNX files stand in for engines, which need a GPU; each is converted from the model of its seed."""
    program = torch.export.export(linear(0), batch.tensors)
    left = iter(seeds)

    def build(path: Path) -> None:
        onnx = path.with_suffix(".onnx")
        attnexport.convert(linear(next(left)), batch.tensors, onnx)
        onnx.rename(path)

    return compare_builds(Model(program), build, OnnxRuntimeBackend, batch, len(seeds))


def test_equal_builds_have_no_spread(batch):
    first, second = built(batch, [0, 0])
    assert first.sha256 == second.sha256
    assert [spread.differing for spread in (*first.spreads, *second.spreads)] == [0, 0]
    assert min(first.build_seconds, second.build_seconds, first.run_seconds, second.run_seconds) > 0


def test_builds_that_differ_are_measured_from_the_first(batch):
    first, second, third = built(batch, [0, 1, 0])
    wanted = float((linear(1)(batch.tensors[0]) - linear(0)(batch.tensors[0])).detach().abs().max())
    assert second.spreads[0].largest == pytest.approx(wanted, rel=1e-5)
    assert (first.spreads[0].largest, third.spreads[0].largest) == (0, 0)
    lines = list(result_lines(ContenderResult(ContenderFacts("m", "", "", ""), (), builds=(first, second))))
    assert lines[1].startswith("build 1: ")
    assert f"largest difference from the first {wanted:.3g}" in lines[1]
