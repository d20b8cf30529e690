"""attnexport.tune: the cheapest file that holds bounds, each layer in the scheme that it takes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from attnexport.accuracy.contenders.cache import OutputCache
from attnexport.accuracy.errors.metrics import find_metric
from attnexport.accuracy.inputs.data_files import data_files
from attnexport.calibration.floating import floating_model
from attnexport.calibration.layers import all_layers
from attnexport.calibration.quantizing import ranges_for
from attnexport.calibration.ranges import Ranges
from attnexport.calibration.tuning.bench import Bench, fitting, stopwatch
from attnexport.calibration.tuning.candidates import groups_of
from attnexport.calibration.tuning.known import Known, Writer, names_of
from attnexport.calibration.tuning.measuring import Bounds, Yardstick
from attnexport.calibration.tuning.options import TRAFFIC, refuse_unfit_tuning
from attnexport.calibration.tuning.result import TunedLayer, Tuning
from attnexport.calibration.tuning.task import Task
from attnexport.calibration.tuning.timing import EngineTimer, Timer
from attnexport.display.progress import Progress, unheard
from attnexport.errors import InputError
from attnexport.files.kinds import ONNX
from attnexport.files.outputs import check_not_same, check_output, replacing, sha256
from attnexport.files.staging import work_folder
from attnexport.messages import option


def tune(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str],
    metrics: Sequence[str] = (),
    max_drop: float | None = None,
    max_error: float | None = None,
    candidates: Sequence[str] | None = None,
    cost: str = TRAFFIC,
    calibration: str | os.PathLike[str] | None = None,
    ranges: str | os.PathLike[str] | Ranges | None = None,
    method: str = "minmax",
    samples: int | None = None,
    timer: Timer | None = None,
    target: str | None = None,
    plugins: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: Progress = unheard,
) -> Tuning:
    """Finds the cheapest file whose layers are in several schemes and that holds bounds, and writes it.

    First each layer is measured alone in each candidate. The search begins with every layer in its cheapest, raises the
    layers whose error falls most for what that costs until the bounds hold, and then lets those go back that can. What
    is cheap is the time of the file in which all layers are in a candidate, where that was timed, else bytes.

    What is measured against is the floating file in ONNX Runtime, quantized files as their Q/DQ nodes are written;
    :func:`attnexport.check` holds files to PyTorch.

    Args:
        path: an ONNX file of convert, not quantized.
        output: the file to write; nothing is written where no file holds the bounds.
        data: an .npz or a folder of them, with an array for each input and ``labels`` where a metric wants them.
        metrics: of the task, built in or ``pkg.module:function``. Default: none.
        max_drop: how much worse than the floating file's each may be; with metrics. Default: None.
        max_error: relative L2 of the outputs that is allowed. Default: None. One of both bounds must be given.
        candidates: of int8, fp8, int8-weights, int4-weights and fp16. Default: None, all that the file's opset and ONNX
            Runtime can do.
        cost: where nothing is timed, ``traffic``, the bytes of weights and of what they are multiplied with for a row
            of data, or ``size``, those of the weights alone. Default: traffic.
        calibration: data for ranges of activations. Default: None, that of ``data``.
        ranges: what calibrate found, in place of data for it. Default: None.
        method: how ranges are chosen: minmax, percentile, entropy or mse. Default: minmax.
        samples: about how many rows layers are measured alone on. Default: None, all, as whole files always are.
        timer: takes an ONNX file and gives milliseconds of a run. Default: None.
        target: this machine's device, by its name in ``attnexport.targets.TARGETS``: engines are built for it and
            timed. Default: None.
        plugins: the plugin library for these engines. Default: None.
        cache: a folder in which figures are kept for the next time. Default: None, none are kept.
        progress: told what is done, and the share of it. Default: nobody.

    Returns:
        What was found; ``passed`` says whether a file was written.

    Raises:
        InputError: a file without layers or already quantized, data, labels or ranges that do not fit, candidates that
            were asked for and cannot be used, bounds that are negative, or an output that cannot be written.
        BackendError: a file does not run.
    """
    path, output = Path(path), Path(output)
    refuse_unfit_tuning(
        path,
        data=data,
        metrics=metrics,
        max_drop=max_drop,
        max_error=max_error,
        candidates=candidates,
        cost=cost,
        calibration=calibration,
        ranges=ranges,
        method=method,
        samples=samples,
        target=target,
        plugins=plugins,
    )
    if timer is not None and target is not None:
        raise InputError(f"timer: expected in place of {option('--target')}, given both")
    check_output(output, ONNX)
    check_not_same(output, path)
    model = floating_model(path)
    layers = all_layers(path, model)
    tried = fitting(path, model, layers, candidates)
    store = OutputCache(None if cache is None else Path(cache))
    specs, files = [find_metric(name) for name in metrics], data_files(data)
    with work_folder() as folder:
        yardstick = Yardstick(path, files, specs, max_drop, folder, progress)
        found = None
        if tried.round_activations:
            calibrated = None if ranges is not None else calibration or data
            found = ranges_for(path, calibrated, ranges, method=method, samples=None, progress=progress)
        groups = groups_of(layers, yardstick.elements())
        writer = Writer(path, tuple(group.name for group in groups), found)
        bench = Bench(groups, Known(writer, yardstick, store, folder))
        wanted = timer if target is None else EngineTimer(target, _path(plugins), yardstick.row, folder, progress)
        watch, untimed = stopwatch(bench, wanted, folder, strict=target is None)
        if watch is not None:
            tried = bench.fast_enough(tried, watch)
        tried, alone = bench.sensitivity(tried, samples, progress, strict=candidates is not None)
        task = Task(bench, tried, alone, Bounds(max_drop, max_error), cost, watch, progress)
        chosen = task.run()
        if chosen is not None:
            with replacing(output) as staging:
                writer.write(chosen, staging / output.name)
    store.trim()
    names = ("",) * len(groups) if chosen is None else names_of(chosen)
    own_data = found is not None and calibration is None and ranges is None
    return Tuning(
        model=str(path),
        model_sha256=yardstick.model_sha256,
        data_sha256=yardstick.data_sha256,
        rows=yardstick.rows(),
        rows_alone=yardstick.rows(samples),
        values=dict(zip(metrics, yardstick.values, strict=True)),
        bounds=task.bounds,
        candidates=tuple(one.name for one in tried.candidates),
        cost=cost if watch is None else "time",
        ranges=found,
        layers=tuple(
            TunedLayer(group.name, group.parameters, task.alone_of(group), name)
            for group, name in zip(groups, names, strict=True)
        ),
        plans=task.plans(),
        chosen=None if chosen is None else task.plan_of(chosen),
        path=None if chosen is None else output,
        sha256="" if chosen is None else sha256(output),
        timing=untimed if watch is None else watch.said(),
        runs=bench.known.runs,
        known=store.hits,
        notes=(
            *(
                [f"ranges are from the data that is measured on; {option('--calibration')} takes others"]
                if own_data
                else []
            ),
            *(() if found is None else found.notes),
            *tried.notes,
            *(() if watch is None else watch.notes),
            *([f"what was measured is not kept for another time: {store.refused}"] if store.refused else []),
        ),
    )


def _path(path: str | os.PathLike[str] | None) -> Path | None:
    return None if path is None else Path(path)
