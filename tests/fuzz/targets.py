"""What is given a mutant of which file, and through which entry point."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from attnexport.accuracy.check.budget_file import read_budget_file
from attnexport.accuracy.contenders.cache import OutputCache
from attnexport.accuracy.recorded import standalone as compare
from attnexport.accuracy.recorded.reading import recorded_batches
from attnexport.cli.console import report_errors
from attnexport.engines.names import manifest_path
from attnexport.files.outputs import sha256
from attnexport.models.loading.reading import read_source
from attnexport.models.loading.sources import load_model
from attnexport.models.model import Model
from attnexport.plugins.calling.build_info import parse_build_info
from tests.fuzz.corpus import CACHED, exit_code
from tests.fuzz.mutate_bytes import Mutator, cut, some_bytes
from tests.fuzz.mutate_json import some_values
from tests.fuzz.mutate_pickle import operations
from tests.fuzz.mutate_protobuf import fields
from tests.fuzz.mutate_text import safetensors, toml
from tests.fuzz.mutate_zip import entries, inside

FACTORY = "tests.fuzz.corpus:model"


@dataclass(frozen=True)
class Place:
    """Where a mutant is tried.

    Attributes:
        corpus: the whole files.
        work: an empty folder for it.
        out: an empty folder for what a command writes.
    """

    corpus: Path
    work: Path
    out: Path


Run = Callable[[Place, bytes], int]


@dataclass(frozen=True)
class Target:
    """A kind of files and its entry point.

    Attributes:
        name: of both, for the table.
        seed: the file of the corpus that is damaged.
        mutators: one of them, by chance.
        share: how many of a thousand mutants it is given.
        run: gives the exit code.
        verdict: whether exit code 1 is one.
    """

    name: str
    seed: str
    mutators: tuple[Mutator, ...]
    share: int
    run: Run
    verdict: bool = False


def _written(place: Place, name: str, data: bytes) -> str:
    path = place.work / name
    path.write_bytes(data)
    return str(path)


def _reported(action: Callable[[], object]) -> int:
    """Exit code and line of a function below a command."""

    @report_errors
    def wrapped() -> None:
        action()

    try:
        wrapped()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def _load(place: Place, data: bytes) -> int:
    path = _written(place, "mutant.pt2", data)
    return _reported(lambda: load_model(path))


def _load_checkpoint(place: Place, data: bytes) -> int:
    path = _written(place, "mutant.pt", data)
    return _reported(lambda: read_source(path, factory=FACTORY))


def _load_weights(place: Place, data: bytes) -> int:
    path = _written(place, "mutant.safetensors", data)
    return _reported(lambda: read_source(None, factory=FACTORY, weights=path))


def _convert(place: Place, data: bytes) -> int:
    path = _written(place, "mutant.pt2", data)
    return exit_code(["convert", path, "-o", str(place.out / "made.onnx")])


def _check_model(place: Place, data: bytes) -> int:
    path = _written(place, "mutant.pt2", data)
    given = ["--data", str(place.corpus / "data.npz"), "--json", str(place.out / "report.json"), "--no-cache"]
    return exit_code(["check", path, str(place.corpus / "model.onnx"), *given])


def _inspect(place: Place, data: bytes) -> int:
    return exit_code(["inspect", _written(place, "mutant.onnx", data)])


def _run_model(place: Place, data: bytes) -> int:
    path = _written(place, "mutant.onnx", data)
    return exit_code(["run", path, "--data", str(place.corpus / "data.npz"), "-o", str(place.out / "y.npz")])


def _check_contender(place: Place, data: bytes) -> int:
    path = _written(place, "mutant.onnx", data)
    given = ["--data", str(place.corpus / "data.npz"), "--markdown", str(place.out / "report.md"), "--no-cache"]
    return exit_code(["check", str(place.corpus / "model.pt2"), path, *given])


def _run_data(place: Place, data: bytes) -> int:
    path = _written(place, "mutant.npz", data)
    return exit_code(["run", str(place.corpus / "model.onnx"), "--data", path, "-o", str(place.out / "y.npz")])


def _check_data(place: Place, data: bytes) -> int:
    path = _written(place, "mutant.npz", data)
    models = [str(place.corpus / "model.pt2"), str(place.corpus / "model.onnx")]
    return exit_code(["check", *models, "--data", path, "--no-cache"])


def _record_data(place: Place, data: bytes) -> int:
    path, made = _written(place, "mutant.npz", data), str(place.out / "set")
    given = ["-o", made, "--data", path, "--precisions", "fp32"]
    return exit_code(["record", str(place.corpus / "model.pt2"), *given])


def _set(place: Place, name: str, data: bytes) -> Path:
    """A recorded set with one file exchanged."""
    folder = place.work / "set"
    shutil.copytree(place.corpus / "set", folder)
    (folder / name).write_bytes(data)
    return folder


@functools.cache
def _model(corpus: Path) -> Model:
    return load_model(corpus / "model.pt2")


def _read_set(place: Place, data: bytes) -> int:
    folder, model = _set(place, "manifest.json", data), _model(place.corpus)
    return _reported(lambda: list(recorded_batches(folder, model)))


def _compare_manifest(place: Place, data: bytes) -> int:
    folder = _set(place, "manifest.json", data)
    return compare.main([str(place.corpus / "outputs"), "--set", str(folder), "--precision", "fp32"])


def _compare_outputs(place: Place, data: bytes) -> int:
    _written(place, "data-0.npz", data)
    return compare.main([str(place.work), "--set", str(place.corpus / "set"), "--precision", "fp32"])


def _compare_reference(place: Place, data: bytes) -> int:
    """A damaged reference whose hash is right."""
    folder = _set(place, "reference/data-0.npz", data)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["batches"][0]["files"]["reference/data-0.npz"] = sha256(folder / "reference" / "data-0.npz")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return compare.main([str(place.corpus / "outputs"), "--set", str(folder), "--precision", "fp32"])


def _recorded_outputs(place: Place, data: bytes) -> int:
    path = _written(place, "mutant.npz", data)
    given = ["--data", str(place.corpus / "data.npz"), "--no-cache"]
    return exit_code(["check", str(place.corpus / "model.pt2"), path, *given])


def _engine(place: Place, data: bytes) -> int:
    engine = place.work / "model.engine"
    shutil.copy(place.corpus / "model.engine", engine)
    manifest_path(engine).write_bytes(data)
    return exit_code(["run", str(engine), "--data", str(place.corpus / "data.npz"), "-o", str(place.out / "y.npz")])


def _budget(place: Place, data: bytes) -> int:
    path, model = _written(place, "mutant.toml", data), _model(place.corpus)
    return _reported(lambda: read_budget_file(path, model.output_names, model.module_paths))


def _cache(place: Place, data: bytes) -> int:
    """A damaged entry is computed again: what comes back is always right."""
    (entry,) = (place.corpus / "cache").iterdir()
    folder = place.work / "cache"
    folder.mkdir(mode=0o700)
    (folder / entry.name).write_bytes(data)
    given = OutputCache(folder).outputs(("a", "b"), lambda: list(CACHED))
    assert all(
        np.array_equal(one, other) and one.dtype == other.dtype for one, other in zip(given, CACHED, strict=True)
    )
    return 0


def _info(place: Place, data: bytes) -> int:
    return _reported(lambda: parse_build_info(data.decode("utf-8", "backslashreplace")))


_PROGRAM = (entries, entries, inside(".json"), inside(".json"), inside(".json"), some_bytes, cut)
_ARRAYS = (entries, entries, inside(".npy"), inside(".npy"), some_bytes, cut)

TARGETS = (
    Target(".pt2, loaded", "model.pt2", _PROGRAM, 200, _load),
    Target(".pt2, convert", "model.pt2", _PROGRAM, 15, _convert),
    Target(".pt2, check", "model.pt2", _PROGRAM, 10, _check_model, verdict=True),
    Target(".pt, loaded", "weights.pt", (entries, inside(".pkl"), some_bytes), 110, _load_checkpoint),
    Target(".pt of torch before 1.6", "old.pt", (operations, some_bytes), 40, _load_checkpoint),
    Target(".safetensors, loaded", "weights.safetensors", (safetensors, some_bytes), 80, _load_weights),
    Target(".onnx, inspect", "model.onnx", (fields, fields, some_bytes, cut), 120, _inspect),
    Target(".onnx, run", "model.onnx", (fields, fields, some_bytes), 80, _run_model),
    Target(".onnx, check", "model.onnx", (fields, some_bytes), 15, _check_contender, verdict=True),
    Target(".npz, run", "data.npz", _ARRAYS, 70, _run_data),
    Target(".npz, packed, run", "packed.npz", _ARRAYS, 20, _run_data),
    Target(".npz, check", "data.npz", _ARRAYS, 15, _check_data, verdict=True),
    Target(".npz, record", "data.npz", _ARRAYS, 10, _record_data),
    Target("recorded outputs, check", "outputs/data-0.npz", _ARRAYS, 10, _recorded_outputs, verdict=True),
    Target("set, read", "set/manifest.json", (some_values, some_bytes), 40, _read_set),
    Target("set, compare.py", "set/manifest.json", (some_values, some_bytes), 40, _compare_manifest, verdict=True),
    Target("outputs, compare.py", "outputs/data-0.npz", _ARRAYS, 30, _compare_outputs, verdict=True),
    Target("reference, compare.py", "set/reference/data-0.npz", _ARRAYS, 20, _compare_reference, verdict=True),
    Target("engine manifest, run", "model.engine.json", (some_values, some_bytes), 30, _engine),
    Target("budget file", "budget.toml", (toml,), 40, _budget),
    Target("cache entry", "cache", _ARRAYS, 30, _cache),
    Target("plugin library's info", "info.json", (some_values, some_bytes), 20, _info),
)
