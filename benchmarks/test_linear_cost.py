"""Time of the linear-cost operators at 4096 and 8192 tokens; the summary prints the ratio."""

from __future__ import annotations

import pytest

from benchmarks.linear_cases import BACKENDS, CASES


@pytest.mark.parametrize("tokens", [4096, 8192])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES)
def test_time(benchmark, case, backend, tokens):
    run = BACKENDS[backend](case, tokens)
    benchmark.extra_info.update({"case": case, "backend": backend, "tokens": tokens})
    benchmark.pedantic(run, rounds=9, warmup_rounds=2)
