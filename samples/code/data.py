"""The text of the code models: the sources of Python's standard library, a tenth of the files held out.

``python samples/code/data.py -o test.npz`` writes the test set, ``--learnt`` rows of what the models were trained on,
for calibration.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[1]))

from samples.language.text import encode, spread_rows  # noqa: E402

LENGTH = 256
ROWS = 256
_LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "turtledemo", "pydoc_data"}


@dataclass(frozen=True)
class Corpus:
    """Characters of the library's files, one after the other; a file is held out by a checksum of its name."""

    learnt: str
    held_out: str


def corpus() -> Corpus:
    """The sources of the Python that runs."""
    library = Path(os.__file__).parent
    parts: tuple[list[str], list[str]] = ([], [])
    for path in sorted(library.rglob("*.py")):
        inside = path.relative_to(library)
        if not _LEFT_OUT.intersection(inside.parts):
            held_out = zlib.crc32(inside.as_posix().encode()) % 10 == 0
            parts[held_out].append(path.read_text(encoding="utf-8", errors="replace"))
    return Corpus("".join(parts[0]), "".join(parts[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .npz to write")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--learnt", action="store_true", help="rows of the files that train, not of those held out")
    options = parser.parse_args()
    text = corpus()
    part = text.learnt if options.learnt else text.held_out
    tokens, labels = spread_rows(encode(part), options.rows, LENGTH)
    np.savez_compressed(options.output, tokens=tokens.numpy(), labels=labels.numpy())
    print(f"Python {platform.python_version()}: {len(tokens)} rows out of {len(part)} characters")


if __name__ == "__main__":
    main()
