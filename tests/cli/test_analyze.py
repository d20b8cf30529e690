"""attnexport analyze: table, JSON and heat map."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from tests.cli.commands import Run
from tests.cli.models import WIDTH


@pytest.fixture(scope="module")
def data(folder: Path) -> Path:
    path = folder / "analyze.npz"
    np.savez(path, x=np.random.default_rng(0).standard_normal((20, 12, WIDTH)).astype(np.float32))
    return path


def test_analyze_prints_regimes_and_writes_json_and_png(run: Run, saved: Path, data: Path, tmp_path: Path):
    report, picture = tmp_path / "heads.json", tmp_path / "heads.png"
    result = run("analyze", saved, "--data", data, "--json", report, "--png", picture, "--rows", 4)
    assert (result.code, result.err) == (0, "")
    for text in ("krause", "hla", "regime", "rule of ours", "20 samples"):
        assert text in result.text
    written = json.loads(report.read_text())
    assert [(head["layer"], head["head"]) for head in written["heads"]] == [
        ("krause", 0),
        ("krause", 1),
        ("hla", 0),
        ("hla", 1),
    ]
    for head in written["heads"]:
        assert head["regime"] in ("Retriever", "Mixer", "Reset", "unclassified")
        assert head["regime"] in result.out
        for kind in ("selected", "random"):
            assert list(head[kind]) == ["2", "4", "8"]
            assert all(0 <= figures["f_score"] <= 1 for figures in head[kind].values())
    assert written["samples"] == 20
    assert "ours" in written["note"]
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert 300 < width < 3000
    assert 200 < height < 3000


def test_analyze_reads_no_more_samples_than_asked(run: Run, saved: Path, data: Path):
    result = run("analyze", saved, "--data", data, "--samples", 3, "--rows", 1, "--n", 2, "--distance", "cosine")
    assert (result.code, result.err) == (0, "")
    assert "3 samples" in result.text


def test_analyze_leaves_figures_of_too_few_keys_undefined(run: Run, saved: Path, data: Path, tmp_path: Path):
    report = tmp_path / "heads.json"
    result = run("analyze", saved, "--data", data, "--n", "2,12", "--rows", 1, "--samples", 2, "--json", report)
    assert (result.code, result.err) == (0, "")
    said = "--n 12 selects all keys of krause, hla, 12 at most: its figures are not defined there"
    assert f"note: {said}" in result.text
    assert json.loads(report.read_text())["notes"] == [said]
    assert json.loads(report.read_text())["heads"][0]["selected"]["12"]["f_score"] is None
