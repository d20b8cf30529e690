"""Prints how the time grows when the tokens double."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any, config: Any) -> None:
    session = getattr(config, "_benchmarksession", None)
    medians = {
        (entry.extra_info["case"], entry.extra_info["backend"], entry.extra_info["tokens"]): entry.stats.median
        for entry in (session.benchmarks if session else [])
        if "tokens" in entry.extra_info
    }
    rows = sorted({key[:2] for key in medians})
    if not rows:
        return
    terminalreporter.section("median time at 4096 and 8192 tokens")
    for case, backend in rows:
        small, large = medians.get((case, backend, 4096)), medians.get((case, backend, 8192))
        if small and large:
            line = f"{case:26} {backend:12} {small * 1e3:9.1f} ms {large * 1e3:9.1f} ms   x {large / small:.2f}"
            terminalreporter.write_line(line)
