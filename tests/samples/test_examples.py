"""The samples run as they stand there."""

from __future__ import annotations

from pathlib import Path

from samples import streaming


def test_a_cache_is_carried_from_call_to_call(tmp_path: Path):
    assert streaming.main(tmp_path) < 1e-5
