"""Builds the same engine several times: how far outputs and latencies of the builds lie apart."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from attnexport.accuracy.check.findings import Build
from attnexport.accuracy.contenders.contenders import BackendContender, Outputs
from attnexport.accuracy.contenders.facts import ContenderFacts
from attnexport.accuracy.errors.measures import Spread
from attnexport.accuracy.errors.sums import widened
from attnexport.accuracy.inputs.files import Batch
from attnexport.backends import Backend
from attnexport.display.progress import Progress, unheard
from attnexport.files.outputs import sha256
from attnexport.files.staging import work_folder
from attnexport.models.model import Model

TIMED_RUNS = 20


def compare_builds(
    model: Model,
    build: Callable[[Path], None],
    open_engine: Callable[[Path], Backend],
    batch: Batch,
    count: int,
    progress: Progress = unheard,
) -> tuple[Build, ...]:
    """Builds an engine ``count`` times, each to another path, and runs every build on one batch.

    Returns:
        One entry a build, with how far its outputs are from the first build's.

    Raises:
        BackendError: a build fails, or an engine does not run.
        InputError: an engine whose inputs or outputs are not the model's.
    """
    builds: list[Build] = []
    first: Outputs | None = None
    with work_folder() as folder:
        for number in range(count):
            progress(f"building engine {number + 1} of {count}", number / count)
            path = folder / f"build{number}.engine"
            start = time.perf_counter()
            build(path)
            build_seconds = time.perf_counter() - start
            backend = open_engine(path)
            engine = BackendContender(ContenderFacts(path.name, backend.description, "", ""), backend, model)
            outputs = engine.outputs(batch)
            first = first or outputs
            spreads = tuple(widened(Spread(name), first[name], values) for name, values in outputs.items())
            run_seconds = float(np.median(backend.time(engine.feeds(batch), TIMED_RUNS)))
            builds.append(Build(sha256(path), build_seconds, run_seconds, spreads))
    return tuple(builds)
