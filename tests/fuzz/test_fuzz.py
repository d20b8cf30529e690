"""Two thousand mutants: each is handled or refused in one line, in bounded time and memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fuzz.corpus import build
from tests.fuzz.fuzzing import fuzz
from tests.fuzz.targets import TARGETS

MUTANTS = 2000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_mutant_is_handled_or_refused_in_one_line(tmp_path: Path):
    (tmp_path / "corpus").mkdir()
    build(tmp_path / "corpus")
    keep = Path(os.environ.get("ATTNEXPORT_FUZZ_KEEP", tmp_path / "found"))
    result = fuzz(tmp_path / "corpus", MUTANTS, keep)
    assert not result.findings, "\n".join(map(str, result.findings))
    assert sum(row.mutants for row in result.rows.values()) >= MUTANTS - len(TARGETS)
    assert all(row.refused for name, row in result.rows.items() if name != "cache entry"), result.rows
