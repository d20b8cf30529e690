"""Holds outputs to a recorded set, with Python and NumPy alone: run it in the set's folder, on the device.

    python3 compare.py OUTPUTS --precision fp16
    python3 compare.py OUTPUTS --precision fp16 --engine model.engine [--attnrt PATH] [--plugins LIB]

OUTPUTS is a folder with one .npz a batch, named like those in inputs/. With --engine, attnrt computes them first.
Exit codes: 0 within the budget, 1 outside it; 2 unusable input, as everything damaged is, with one line on stderr.
"""

# It runs under Python 3.8 too, as on JetPack 5, which has no zip(strict=…).
# ruff: noqa: B905

from __future__ import annotations

import argparse
import hashlib
import json
import math
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1
SCHEMA = f"attnexport.recorded-set/{FORMAT}"

UNPACKED = 256 << 20  # bytes that the arrays of a file may take, or 20 times the file where that is more


def called(name: str) -> str:
    """``output logits``, and ``output`` alone where that is its name."""
    return name if name == "output" else f"output {name}"


class Unusable(Exception):
    """Input that cannot be used; the message is the line that the user reads."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong with the command line in one line, as everything else is said."""

    def error(self, message: str) -> Any:
        raise Unusable(message)


class Error:
    """Errors of one output on one kind of inputs."""

    def __init__(self, floating: bool) -> None:
        self.floating = floating
        self.largest = self.squared_error = self.squared_reference = 0.0
        self.not_finite = self.differing = self.elements = 0

    def add(self, given: Any, exact: Any) -> None:
        """Takes in one batch."""
        self.elements += exact.size
        if not self.floating:
            self.differing += int((given != exact).sum())
            return
        error, finite = distances(given, exact), np.isfinite(given) & np.isfinite(exact)
        self.not_finite += int(np.isinf(error).sum())
        self.largest = max(self.largest, float(error[finite].max()) if finite.any() else 0.0)
        self.squared_error += float(np.square(error[finite]).sum())
        self.squared_reference += float(np.square(exact[finite]).sum())

    @property
    def relative_l2(self) -> float:
        """Of the error to the reference; the plain norm where the reference is zero."""
        size = self.squared_error**0.5
        return float(size / self.squared_reference**0.5) if self.squared_reference else size


def distances(given: Any, exact: Any) -> Any:
    """|given - exact| of every element; NaN and infinity are equal to themselves and infinitely far from the rest."""
    with np.errstate(all="ignore"):
        error = np.abs(given.astype(np.float64) - exact)
    same = (given == exact) | (np.isnan(given) & np.isnan(exact))
    return np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    warnings.simplefilter("ignore")  # A damaged file is one line; NumPy's warnings about it would be more.
    try:
        options = parse(arguments)
        manifest = read_set(options.set, options.precision)
        if options.engine is not None:
            run_engine(options, manifest)
        errors = compare(options.set, manifest, options.outputs)
        return report(manifest, errors, options.precision)
    except Exception as error:
        known = isinstance(error, (Unusable, OSError))
        said = " ".join(str(error).split()) or type(error).__name__
        print(f"compare.py: {'' if known else type(error).__name__ + ': '}{plain(said)[:2000]}", file=sys.stderr)
        return 2


def plain(text: str) -> str:
    """A name from a file, in which control and format characters are spelled out."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outputs", type=Path, metavar="OUTPUTS")
    parser.add_argument("--precision", required=True, help="of the engine: fp32, fp16 or bf16")
    parser.add_argument("--set", type=Path, default=Path(__file__).parent, help="default: this script's folder")
    parser.add_argument("--engine", type=Path, help="run it with attnrt first")
    parser.add_argument("--attnrt", default="attnrt", help="the program; default: attnrt on the PATH")
    parser.add_argument("--plugins", type=Path, help="the plugin library for the engine")
    parser.add_argument("--allow-host-code", action="store_true", help="run libraries inside the engine")
    return parser.parse_args(arguments)


def read_set(folder: Path, precision: str) -> Any:
    """The manifest, after its types and the hash of every file were checked."""
    path = folder / "manifest.json"
    try:
        manifest = checked(dict, json.loads(path.read_text(encoding="utf-8")), "the whole")
        check_schema(manifest)
        allowed = checked(dict, manifest["allowed"], "allowed")
        files = [entry for batch in checked(list, manifest["batches"], "batches") for entry in files_of(batch)]
        for key in ("model", "source_hash"):
            checked(str, manifest[key], key)
        for name, dtype in checked(dict, manifest["outputs"], "outputs").items():
            checked(str, dtype, f"outputs.{name}")
    except Exception as error:
        said = f"{type(error).__name__} {error}" if isinstance(error, KeyError) else error
        raise Unusable(f"{path}: expected the manifest of a recorded set: {said}") from error
    if precision not in allowed:
        raise Unusable(f"--precision: expected one of {', '.join(allowed)}, given {precision}")
    if not files:
        raise Unusable(f"{path}: expected batches to compare on, found none")
    for batch in manifest["batches"]:
        for name in manifest["outputs"]:
            check_allowance(path, allowed[precision], batch["kind"], name)
    for name, wanted in files:
        if not (folder / name).is_file():
            raise Unusable(f"{folder}: the recorded set was cut off: expected {name}, found none")
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != wanted:
            raise Unusable(f"{folder / name}: the recorded set was cut off or altered: its sha256 is another")
    return manifest


def checked(kind: Any, value: Any, place: str) -> Any:
    """A value of JSON that must be of one type."""
    if type(value) is not kind:
        raise ValueError(f"{place}: expected {kind.__name__}, given {json.dumps(value)[:80]}")
    return value


def check_schema(manifest: Any) -> None:
    """Refuses another format or version; sets that have no ``schema`` give its version as ``format``."""
    said = manifest["schema"] if "schema" in manifest else f"attnexport.recorded-set/{manifest['format']}"
    if said != SCHEMA:
        raise ValueError(f"schema: expected {SCHEMA}, given {json.dumps(said)[:80]}: record the set again")


def files_of(batch: Any) -> list[tuple[str, str]]:
    """The files of a batch, all inside the set, with their hashes."""
    name = checked(str, checked(dict, batch, "batches")["name"], "name")
    checked(str, batch["kind"], "kind")
    if Path(name).name != name or "\0" in name:
        raise ValueError(f"batch {name}: expected the name of a file")
    needed = [f"{part}/{name}.npz" for part in ("inputs", "reference")]
    return [(file, batch["files"][file]) for file in needed]


def check_allowance(path: Path, allowed: Any, kind: str, name: str) -> None:
    """Refuses a budget that is missing or no number."""
    try:
        entry = allowed[kind][name]
        limit, mismatches = entry["limit"], entry["mismatches"]
    except (KeyError, TypeError, IndexError):
        raise Unusable(f"{path}: expected what {called(name)} is allowed on {kind} inputs, found none") from None
    if limit is not None and (type(limit) not in (int, float) or not math.isfinite(limit) or limit < 0):
        raise Unusable(f"{path}: {called(name)}, {kind} inputs: expected a number for limit, given {limit!r}")
    bound = entry.get("relative_l2")
    if bound is not None and (type(bound) not in (int, float) or not bound >= 0):
        raise Unusable(f"{path}: {called(name)}, {kind} inputs: expected a number for relative_l2, given {bound!r}")
    if type(mismatches) is not int or mismatches < 0:
        raise Unusable(f"{path}: {called(name)}, {kind} inputs: expected a count for mismatches, given {mismatches!r}")


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
            done = subprocess.run(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
            )
        except OSError as error:
            raise Unusable(f"{options.attnrt}: cannot be run: {error.strerror}") from error
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise Unusable(f"{options.engine} on {name}: {lines[-1]}")


def compare(folder: Path, manifest: Any, outputs: Path) -> dict[tuple[str, str], Error]:
    """Errors by kind of inputs and output."""
    errors: dict[tuple[str, str], Error] = {}
    for batch in manifest["batches"]:
        exact = reference(folder / "reference" / f"{batch['name']}.npz", list(manifest["outputs"]))
        path = outputs / f"{batch['name']}.npz"
        if not path.is_file():
            raise Unusable(f"{outputs}: expected {path.name}, found none: outputs for every file in inputs/")
        given = matched(path, read(path), list(manifest["outputs"]))
        for name, wanted in exact.items():
            if given[name].shape != wanted.shape:
                raise Unusable(f"{path}: {called(name)}: expected shape {wanted.shape}, given {given[name].shape}")
            errors.setdefault((batch["kind"], name), Error(wanted.dtype.kind == "f")).add(given[name], wanted)
    if not any(error.elements for error in errors.values()):
        raise Unusable(f"{folder}: expected outputs with values to compare, found none")
    return errors


def reference(path: Path, names: list[str]) -> dict[str, Any]:
    """The reference outputs of a batch, all of them numbers."""
    arrays = read(path)
    if set(arrays) != set(names):
        raise Unusable(f"{path}: expected the outputs {', '.join(names)}, given {', '.join(arrays) or 'none'}")
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise Unusable(f"{path}: {called(name)}: expected finite numbers, given others")
    return arrays


def read(path: Path) -> dict[str, Any]:
    """The arrays of an .npz; bfloat16, which comes as two raw bytes, as float32."""
    try:
        check_sizes(path)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
            return {name: widened(array) for name, array in arrays.items()}
    except Exception as error:
        said = str(error) or type(error).__name__
        raise Unusable(f"{path}: expected an .npz archive of plain arrays: {said}") from error


def check_sizes(path: Path) -> None:
    """Refuses entries that are no arrays, that come twice, or that would unpack to many times the file."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    others = [name for name in names if not name.endswith(".npy")]
    if others:
        raise ValueError(f"expected arrays (.npy) alone, given {others[0]}")
    if len(set(names)) < len(names):
        raise ValueError("expected every array once, given one twice")
    limit = max(UNPACKED, 20 * path.stat().st_size)
    total = sum(entry.file_size for entry in entries)
    if total > limit:
        raise ValueError(f"expected at most {limit} bytes, given {total}")


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
            raise Unusable(f"{path}: {called(name)}: expected numbers, given {array.dtype}")
    if set(given) == set(names):
        return given
    return dict(zip(names, given.values()))


def report(manifest: Any, errors: dict[tuple[str, str], Error], precision: str) -> int:
    """Prints a line an output and kind of inputs, and what failed on stderr; the exit code."""
    print(plain(f"{manifest['model']} at {precision}, source hash {manifest['source_hash'][:12]}"))
    failed = []
    for (kind, name), error in errors.items():
        allowed = manifest["allowed"][precision][kind][name]
        passed, found = judge(error, allowed)
        print(plain(f"{'within ' if passed else 'OUTSIDE'}  {name}, {kind} inputs: {found}"))
        if not passed:
            failed.append(f"compare.py: {called(name)}, {kind} inputs: {found}; try: attnexport check --bisect")
    for line in failed:
        print(plain(line), file=sys.stderr)
    return 1 if failed else 0


def judge(error: Error, allowed: Any) -> tuple[bool, str]:
    """Whether an output is within its budget, and by how much."""
    if not error.floating:
        found = f"{error.differing} of {error.elements} values differ, allowed {allowed['mismatches']}"
        return error.differing <= allowed["mismatches"], found
    if error.not_finite:
        return False, f"{error.not_finite} of {error.elements} values are NaN or infinite"
    limit = allowed["limit"]
    if limit is None:
        return True, f"largest error {error.largest:.3g}, not judged: PyTorch itself is not accurate there"
    bound = allowed.get("relative_l2")
    if bound is not None and error.relative_l2 > bound:
        return False, f"relative L2 error {error.relative_l2:.3g}, allowed {bound:g} however much PyTorch errs"
    return error.largest <= limit, f"largest error {error.largest:.3g}, allowed {limit:.3g}"


if __name__ == "__main__":
    sys.exit(main())
