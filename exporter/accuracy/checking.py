"""The accuracy check from Python, for the same models, contenders and inputs as on the command line."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from attnexport.accuracy.check.check import check as check_contenders
from attnexport.accuracy.check.judging import Plan
from attnexport.accuracy.check.results import CheckReport
from attnexport.accuracy.contenders.cache import OutputCache
from attnexport.accuracy.contenders.opening import Opener, parse_contender, state_for
from attnexport.accuracy.contenders.quantized import open_all, profiles_of
from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.accuracy.inputs.files import Batch
from attnexport.accuracy.inputs.generated import chosen_kinds, generated_inputs
from attnexport.accuracy.inputs.reading_anew import read_data
from attnexport.models.fitness import refuse_unfit
from attnexport.models.loading.sources import ModelSource, as_model


def check(
    model: ModelSource,
    contenders: Sequence[str | os.PathLike[str]],
    args: Sequence[Any] | Tensor | None = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    data: str | os.PathLike[str] | None = None,
    kinds: str | None = None,
    seeds: int = 3,
    seed: int = 0,
    precision: str | None = None,
    plugins: str | os.PathLike[str] | None = None,
    plan: Plan | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> CheckReport:
    """Holds files to a model's float64 reference, as ``attnexport check`` does.

    Args:
        model: a module, as convert takes it; an exported program; what load_model returned; or the path of a .pt2.
        contenders: ONNX files, engines, recorded outputs, or ``torch:fp16`` and the like.
        args: example inputs of a module. Default: None, for a program, which carries its own.
        kwargs: example keyword inputs. Default: None.
        dynamic_shapes: of a module, as convert takes them. Default: None, all static.
        data: an .npz, a folder of them, or a recorded set. Default: None, generated inputs.
        kinds: of generated inputs, as ``normal,large``. Default: None, all.
        seeds: batches of each kind of values. Default: 3.
        seed: of the first. Default: 0.
        precision: of every contender. Default: None, each one's own.
        plugins: the plugin library for engines. Default: None.
        plan: metrics, repetitions and exceptions. Default: None, outputs alone, once.
        cache: a folder for the reference's outputs. Default: None, none are kept.

    Returns:
        The report; ``passed`` says whether every contender is within its budget.

    Raises:
        InputError: a model, a contender or inputs that cannot be used.
        BackendError: a backend refuses a file.
        ConversionError: the module cannot be exported, or is one that no file can be held to.
    """
    wanted = [parse_contender(os.fspath(text)) for text in contenders]
    source = as_model(model, args, kwargs, dynamic_shapes)
    refuse_unfit(source)
    source = source.without_state(state_for(wanted))
    runs = TorchRuns(source, OutputCache(None if cache is None else Path(cache)))
    opener = Opener(runs, precision, None if plugins is None else Path(plugins))
    with tempfile.TemporaryDirectory() as scratch:
        opened = open_all(opener, wanted, Path(scratch))
        batches: Iterable[Batch]
        if data is not None:
            batches = read_data(Path(data), source)
            left_out: Mapping[str, str] = {}
        else:
            wanted_kinds, engines = chosen_kinds(kinds), profiles_of(opened)
            batches = generated_inputs(source, wanted_kinds, seeds=seeds, seed=seed, engines=engines)
            left_out = batches.left_out
        report = check_contenders(runs, [one.contender for one in opened], batches, plan, left_out=left_out)
    return replace(report, notes=(*source.notes, *report.notes))
