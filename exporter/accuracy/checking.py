"""attnexport.check: model files held to their model in PyTorch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from attnexport.accuracy.check.budget_file import BudgetFile, read_budget_file
from attnexport.accuracy.check.check import check as check_contenders
from attnexport.accuracy.check.judging import Plan
from attnexport.accuracy.check.results import CheckReport
from attnexport.accuracy.contenders.cache import OutputCache
from attnexport.accuracy.contenders.opening import Opener, state_for
from attnexport.accuracy.contenders.quantized import open_all, profiles_of
from attnexport.accuracy.contenders.texts import ContenderText, parse_contender
from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.accuracy.diagnosis.looking import Diagnosis, look_into
from attnexport.accuracy.errors.metrics import find_metric
from attnexport.accuracy.inputs.choosing import chosen_inputs
from attnexport.accuracy.inputs.files import Batch
from attnexport.accuracy.inputs.options import InputOptions
from attnexport.accuracy.options import refuse_unfit_options
from attnexport.display.progress import Progress, unheard
from attnexport.engines.build_options import BuildOptions
from attnexport.engines.shape_texts import parse_shapes
from attnexport.files.staging import work_folder
from attnexport.messages import option
from attnexport.models.fitness import refuse_unfit
from attnexport.models.loading.sources import ModelSource, as_model
from attnexport.models.model import Model
from attnexport.models.precision_names import named_precision
from attnexport.plugins.runtime.request import EngineOptions


def check(
    model: ModelSource,
    contenders: Sequence[str | os.PathLike[str]],
    args: Sequence[Any] | Tensor | None = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    data: str | os.PathLike[str] | None = None,
    kinds: str | None = None,
    seeds: int | None = None,
    seed: int | None = None,
    longest: int | None = None,
    precision: str | None = None,
    plugins: str | os.PathLike[str] | None = None,
    metrics: Sequence[str] = (),
    max_drop: float | None = None,
    repeat: int = 1,
    budget: str | os.PathLike[str] | None = None,
    bisect: bool = False,
    hazards: bool = False,
    rebuild: int | None = None,
    target: str | None = None,
    shapes: Sequence[str] = (),
    cache: str | os.PathLike[str] | None = None,
    progress: Progress = unheard,
) -> CheckReport:
    """Holds files to a model's float64 reference, as ``attnexport check`` does.

    Everything runs in this process: a stranger's program is for the command line, which runs it in a child that can
    harm little.

    Args:
        model: a module, as convert takes it; an exported program; what load_model returned; or the path of a .pt2.
        contenders: ONNX files, engines, recorded outputs, or ``torch:fp16`` and the like.
        args: example inputs of a module. Default: None, for a program, which carries its own.
        kwargs: example keyword inputs. Default: None.
        dynamic_shapes: of a module, as convert takes them. Default: None, all static.
        data: an .npz, a folder of them, or a recorded set. Default: None, generated inputs.
        kinds: of generated inputs, as ``normal,large``. Default: None, all.
        seeds: generated batches of each kind of values. Default: None, 3.
        seed: of the first. Default: None, 0.
        longest: size up to which dynamic dims are generated. Default: None, 1024.
        precision: fp32, fp16 or bf16, of every contender. Default: None, each one's own.
        plugins: the plugin library for engines. Default: None.
        metrics: task metrics, built in or ``pkg.module:function``. Default: none.
        max_drop: how much worse than the reference's they may be. Default: None, they are shown only.
        repeat: runs of each batch. Default: 1.
        budget: a TOML file of exceptions to the budget's rule, each with a reason. Default: None.
        bisect: name the layer where an ONNX file goes wrong first. Default: False.
        hazards: measure attention's own hazards. Default: False.
        rebuild: build so many engines from each ONNX file, for ``target``, and compare them. Default: None.
        target: a name of ``attnexport.targets.TARGETS``. Default: None.
        shapes: that ``rebuild`` builds for, as ``x=1x16:8x16:32x16``. Default: those of the file.
        cache: a folder for the reference's outputs. Default: None, none are kept.
        progress: is told of each step, and the share of it that is done or None. Default: nobody is.

    Returns:
        The report; ``passed`` says whether every contender is within its budget.

    Raises:
        InputError: a model, a contender, inputs or options that cannot be used.
        BackendError: a backend refuses a file.
        ConversionError: the module cannot be exported, or is one that no file can be held to.
    """
    if precision is not None:
        precision = named_precision(option("--precision"), precision)
    wanted = [parse_contender(os.fspath(text)) for text in contenders]
    inputs = InputOptions(_path(data), kinds, seeds, seed, longest)
    refuse_unfit_options(
        wanted,
        inputs,
        plugins=_path(plugins),
        budget=_path(budget),
        metrics=metrics,
        max_drop=max_drop,
        rebuild=rebuild,
        target=target,
        shapes=shapes,
    )
    engine = EngineOptions(parse_shapes(shapes), plugins=_path(plugins))
    build = None if target is None else BuildOptions(target, engine)
    diagnosis = Diagnosis(bisect, hazards, rebuild or 0, build)
    source = as_model(model, args, kwargs, dynamic_shapes)
    refuse_unfit(source)
    held = source.without_state(state_for(wanted))
    plan = Plan(
        predictions=data is not None,
        metrics=tuple(find_metric(name) for name in metrics),
        max_drop=max_drop,
        repeat=repeat,
        budget=_budget_file(held, budget),
    )
    opener = Opener(TorchRuns(held, OutputCache(_path(cache))), precision, _path(plugins))
    return _checked(opener, wanted, inputs, plan, diagnosis, progress)


def _checked(
    opener: Opener,
    wanted: Sequence[ContenderText],
    options: InputOptions,
    plan: Plan,
    diagnosis: Diagnosis,
    progress: Progress,
) -> CheckReport:
    runs, suspects = opener.runs, dict[str, Batch]()
    progress("opening contenders", None)
    with work_folder() as scratch:
        opened = open_all(opener, wanted, scratch)
        inputs = chosen_inputs(runs.model, options, profiles_of(opened))
        report = check_contenders(
            runs,
            [one.contender for one in opened],
            inputs.batches,
            plan,
            left_out=inputs.left_out,
            suspects=suspects,
            progress=progress,
        )
        runs.cache.trim()
        texts = [one.text for one in opened]
        report = look_into(report, texts, runs.model, inputs.batches, suspects, diagnosis, plan.budget.layers, progress)
    return replace(report, notes=(*runs.model.all_notes, *inputs.notes.sentences(), *report.notes))


def _path(path: str | os.PathLike[str] | None) -> Path | None:
    return None if path is None else Path(path)


def _budget_file(model: Model, path: str | os.PathLike[str] | None) -> BudgetFile:
    return BudgetFile() if path is None else read_budget_file(path, model.output_names, model.module_paths)
