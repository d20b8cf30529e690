"""Figures that were kept are not taken for those of other code."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from attnexport.calibration.tuning.code import code_sha256, sha256_of, sources


@pytest.mark.parametrize(
    "source",
    [
        "calibration/rewriting.py",
        "calibration/tuning/measuring.py",
        "graph/half_layers.py",
        "graph/half_rules.py",
        "graph/writing.py",
        "accuracy/errors/sums.py",
        "accuracy/errors/metrics.py",
        "backends/onnxruntime.py",
        "backends/onnxruntime_sessions.py",
    ],
)
def test_what_says_how_a_file_is_made_run_or_measured_counts(tmp_path: Path, source: str):
    found = sources()
    module = import_module(f"attnexport.{source.removesuffix('.py').replace('/', '.')}")
    assert found[source] == Path(str(module.__file__))
    changed = tmp_path / "changed.py"
    changed.write_text(f"{found[source].read_text()}# other\n")
    assert sha256_of({**found, source: changed}) != sha256_of(found) == code_sha256()


def test_what_has_nothing_to_do_with_figures_does_not_count():
    assert {source.split("/")[0] for source in sources()} == {"calibration", "graph", "accuracy", "backends"}


def test_the_same_text_in_another_file_is_other_code(tmp_path: Path):
    (tmp_path / "code.py").write_text("one = 1\n")
    assert sha256_of({"a.py": tmp_path / "code.py"}) != sha256_of({"b.py": tmp_path / "code.py"})
