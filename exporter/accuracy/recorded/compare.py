"""Holds outputs to a recorded set, with Python and NumPy alone: run it in the set's folder, on the device.

    python3 compare.py OUTPUTS --precision fp16
    python3 compare.py OUTPUTS --precision fp16 --engine model.engine [--attnrt PATH] [--plugins LIB]

OUTPUTS is a folder with one .npz a batch, named like those in inputs/. With --engine, attnrt computes them first.
Exit codes: 0 within the budget, 1 outside it, 2 unusable input, with one line on stderr.
"""

# It runs under Python 3.8 too, as on JetPack 5, which has no zip(strict=…).
# ruff: noqa: B905

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1


class Unusable(Exception):
    """Input that cannot be used; the message is the line that the user reads."""


class Error:
    """Errors of one output on one kind of inputs."""

    def __init__(self) -> None:
        self.largest = 0.0
        self.not_finite = self.differing = self.elements = 0

    def add(self, given: Any, exact: Any) -> None:
        """Takes in one batch."""
        self.elements += exact.size
        if exact.dtype.kind != "f":
            self.differing += int((given != exact).sum())
            return
        error = np.abs(given.astype(np.float64) - exact)
        finite = error[np.isfinite(error)]
        self.not_finite += error.size - finite.size
        self.largest = max(self.largest, float(finite.max()) if finite.size else 0.0)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    options = parse(arguments)
    try:
        manifest = read_set(options.set)
        if options.precision not in manifest["allowed"]:
            known = ", ".join(manifest["allowed"])
            raise Unusable(f"--precision: expected one of {known}, given {options.precision}")
        if options.engine is not None:
            run_engine(options, manifest)
        errors = compare(options.set, manifest, options.outputs)
    except Unusable as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    return report(manifest, errors, options.precision)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outputs", type=Path, metavar="OUTPUTS")
    parser.add_argument("--precision", required=True, help="of the engine: fp32, fp16 or bf16")
    parser.add_argument("--set", type=Path, default=Path(__file__).parent, help="default: this script's folder")
    parser.add_argument("--engine", type=Path, help="run it with attnrt first")
    parser.add_argument("--attnrt", default="attnrt", help="the program; default: attnrt on the PATH")
    parser.add_argument("--plugins", type=Path, help="the plugin library for the engine")
    parser.add_argument("--allow-host-code", action="store_true", help="run libraries inside the engine")
    return parser.parse_args(arguments)


def read_set(folder: Path) -> Any:
    """The manifest, after the hash of every file was checked."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        files = [entry for batch in manifest["batches"] for entry in files_of(batch)]
        known = manifest["format"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unusable(f"{path}: expected the manifest of a recorded set: {error}") from error
    if known != FORMAT:
        raise Unusable(f"{path}: expected format {FORMAT}, given {known}")
    if not files:
        raise Unusable(f"{path}: expected batches to compare on, found none")
    for name, wanted in files:
        if not (folder / name).is_file():
            raise Unusable(f"{folder}: the recorded set was cut off: expected {name}, found none")
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != wanted:
            raise Unusable(f"{folder / name}: the recorded set was cut off or altered: its sha256 is another")
    return manifest


def files_of(batch: Any) -> list[tuple[str, str]]:
    """The files of a batch, all inside the set, with their hashes."""
    name = batch["name"]
    if Path(name).name != name:
        raise ValueError(f"batch {name}: expected the name of a file")
    needed = [f"{part}/{name}.npz" for part in ("inputs", "reference")]
    return [(file, batch["files"][file]) for file in needed]


def run_engine(options: argparse.Namespace, manifest: Any) -> None:
    """Lets attnrt compute the outputs of every batch."""
    options.outputs.mkdir(parents=True, exist_ok=True)
    for batch in manifest["batches"]:
        name = f"{batch['name']}.npz"
        command = [options.attnrt, "run", str(options.engine)]
        command += ["--data", str(options.set / "inputs" / name), "-o", str(options.outputs / name)]
        if options.plugins is not None:
            command += ["--plugins", str(options.plugins)]
        if options.allow_host_code:
            command.append("--allow-host-code")
        try:
            done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        except OSError as error:
            raise Unusable(f"{options.attnrt}: cannot be run: {error.strerror}") from error
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise Unusable(f"{options.engine} on {name}: {lines[-1]}")


def compare(folder: Path, manifest: Any, outputs: Path) -> dict[tuple[str, str], Error]:
    """Errors by kind of inputs and output."""
    errors: dict[tuple[str, str], Error] = {}
    for batch in manifest["batches"]:
        wanted = read(folder / "reference" / f"{batch['name']}.npz")
        path = outputs / f"{batch['name']}.npz"
        if not path.is_file():
            raise Unusable(f"{outputs}: expected {path.name}, found none: outputs for every file in inputs/")
        given = matched(path, read(path), list(manifest["outputs"]))
        for name, exact in wanted.items():
            if given[name].shape != exact.shape:
                raise Unusable(f"{path}: output {name}: expected shape {exact.shape}, given {given[name].shape}")
            errors.setdefault((batch["kind"], name), Error()).add(given[name], exact)
    return errors


def read(path: Path) -> dict[str, Any]:
    """The arrays of an .npz; bfloat16, which comes as two raw bytes, as float32."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: widened(archive[name]) for name in archive.files}
    except (
        ValueError,
        TypeError,
        OSError,
        EOFError,
        AttributeError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise Unusable(f"{path}: expected an .npz archive of plain arrays: {error}") from error


def widened(array: Any) -> Any:
    """bfloat16 as float32; other arrays as they are."""
    if array.dtype != np.dtype("V2"):
        return array
    return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def matched(path: Path, given: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The outputs by the model's names: by name, else by position."""
    if len(given) != len(names):
        listed = f"{len(given)} ({', '.join(given)})"
        raise Unusable(f"{path}: outputs: expected {len(names)} ({', '.join(names)}), given {listed}")
    for name, array in given.items():
        if array.dtype.kind not in "biuf":
            raise Unusable(f"{path}: output {name}: expected numbers, given {array.dtype}")
    if set(given) == set(names):
        return given
    return dict(zip(names, given.values()))


def report(manifest: Any, errors: dict[tuple[str, str], Error], precision: str) -> int:
    """Prints a line an output and kind of inputs, and what failed on stderr; the exit code."""
    print(f"{manifest['model']} at {precision}, source hash {manifest['source_hash'][:12]}")
    failed = []
    for (kind, name), error in errors.items():
        allowed = manifest["allowed"][precision][kind][name]
        passed, found = judge(error, allowed, manifest["outputs"][name].startswith(("float", "bfloat")))
        print(f"{'within ' if passed else 'OUTSIDE'}  {name}, {kind} inputs: {found}")
        if not passed:
            failed.append(f"compare.py: output {name}, {kind} inputs: {found}; try: attnexport check --bisect")
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


def judge(error: Error, allowed: Any, floating: bool) -> tuple[bool, str]:
    """Whether an output is within its budget, and by how much."""
    if not floating:
        found = f"{error.differing} of {error.elements} values differ, allowed {allowed['mismatches']}"
        return error.differing <= allowed["mismatches"], found
    if error.not_finite:
        return False, f"{error.not_finite} of {error.elements} values are NaN or infinite"
    limit = allowed["limit"]
    if limit is None:
        return True, f"largest error {error.largest:.3g}, not judged: PyTorch itself is not accurate there"
    return error.largest <= limit, f"largest error {error.largest:.3g}, allowed {limit:.3g}"


if __name__ == "__main__":
    sys.exit(main())
