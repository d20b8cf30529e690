"""A longer run: python -m tests.fuzz --mutants 20000 [--seed N] [--only TEXT] [--keep DIR] [--table PAGE]."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.corpus import build
from tests.fuzz.fuzzing import Finding, Result, fuzz

_START, _END = "<!-- the table of make fuzz -->", "<!-- its end -->"


def main() -> int:
    """The number of findings decides the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", metavar="TEXT", help="targets whose name holds it")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="a folder for what was found")
    parser.add_argument("--table", type=Path, help="a page whose table is written anew")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="attnexport-corpus-") as corpus:
        build(Path(corpus))
        started = time.monotonic()
        result = fuzz(
            Path(corpus),
            options.mutants,
            options.keep.resolve(),
            seed=options.seed,
            workers=options.workers,
            only=options.only,
            progress=_show,
        )
    table = _table(result, options.seed, time.monotonic() - started)
    print(table)
    if options.table is not None:
        page = options.table.read_text(encoding="utf-8")
        before, _, rest = page.partition(_START)
        after = rest.partition(_END)[2]
        options.table.write_text(f"{before}{_START}\n\n{table}\n{_END}{after}", encoding="utf-8")
    return 1 if result.findings else 0


def _show(finding: Finding | None) -> None:
    if finding is not None:
        print(finding, file=sys.stderr, flush=True)


def _table(result: Result, seed: int, seconds: float) -> str:
    lines = [
        "| file, and what reads it | mutants | passed or judged | refused | not clean | longest | most memory |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in result.rows.items():
        numbers = f"{row.mutants:,} | {row.passed:,} | {row.refused:,} | {row.findings}"
        lines.append(f"| {name} | {numbers} | {row.longest:.1f} s | {row.peak / 2**20:.0f} MiB |")
    total = sum(row.mutants for row in result.rows.values())
    lines += ["", f"{total:,} mutants of seed {seed} in {seconds / 60:.1f} minutes: {len(result.findings)} not clean."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
