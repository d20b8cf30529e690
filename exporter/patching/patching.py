"""attnexport.patch and unpatch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from attnexport.errors import InputError, did_you_mean
from attnexport.models.descriptions import describe_module
from attnexport.patching.layers import attention_layers, chosen, patched_layers, without_cores
from attnexport.patching.options import checked_layers, checked_variant
from attnexport.patching.protocol import CORE, Replacement, refuse_dropout, shown
from attnexport.patching.proving import neutral_error
from attnexport.patching.report import PatchedLayer, PatchReport, RefusedLayer
from attnexport.variants.core import AttentionCore
from attnexport.variants.registry import all_variants

_REPORT = "_attnexport_patch"
_DESCRIPTION = "patch"


def patch(
    model: nn.Module,
    variant: str,
    *,
    layers: str | Sequence[str] | None = None,
    args: Sequence[Any] | Tensor | None = None,
    kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> PatchReport:
    """Puts a variant in place of a model's softmax attention, in the layers of other libraries that it knows.

    The model is changed in place and keeps its parameters, under their names; a layer gets a submodule ``variant`` with
    what the variant adds. With example inputs the patch is proven: with the variant's neutral setting, in which it is
    softmax attention, the model computes in float64 what it did. The figure goes into the files that are made of it.

    Known are torch.nn.MultiheadAttention, in its transformer layers too.

    Args:
        model: the module.
        variant: name of the variant, as ``attnexport variants`` shows it.
        layers: patterns of the paths of the layers to patch, as ``encoder.layers.[0-3].*``. Default: None, all.
        args, kwargs: example inputs of the model, a tensor alone for a tuple of one. Default: None, no proof.
        options: of the variant, as ``n=16``: those of its module that are not of the layer.

    Returns:
        What was done, layer by layer; ``str`` of it is a table.

    Raises:
        InputError: an unknown variant, option or pattern of layers, a model that is patched or has nothing to patch,
            or that drops attention weights in training.
        ConversionError: the neutral setting computes something else; the model is as it was.
    """
    name, patterns = checked_variant(variant), checked_layers(layers)
    if patched_layers(model):
        raise InputError("model: expected one that is not patched, given a patched one: call attnexport.unpatch first")
    core = _core_class(name)
    _check_options(name, core, options)
    found = attention_layers(model)
    wanted = chosen(found, patterns)
    refused = tuple(
        RefusedLayer(path, type(module).__qualname__, said)
        for path, (_, module, said) in wanted.items()
        if isinstance(said, str)
    )
    sites = {path: said for path, (_, _, said) in wanted.items() if isinstance(said, Replacement)}
    if not sites:
        raise InputError(f"model: expected attention layers to patch, found {_nothing(refused)}")
    cores = {path: _made(core, path, wanted[path][1], said, options) for path, said in sites.items()}
    patched = tuple(_patched(path, wanted[path][1], sites[path], cores[path]) for path in sites)
    for recogniser in {id(each[0]): each[0] for each in wanted.values()}.values():
        recogniser.prepare(model)
    report = PatchReport(name, dict(options), patched, refused, no_neutral=core.no_neutral)
    _keep(model, report)
    if (args is not None or kwargs) and not core.no_neutral:
        try:
            report = prove_patch(model, args, kwargs)
        except BaseException:
            unpatch(model)
            raise
    return report


def unpatch(model: nn.Module) -> None:
    """Makes a patched model what it was, and drops what the variant had added.

    Raises:
        InputError: the model is not patched.
    """
    if not patched_layers(model):
        raise InputError("model: expected a patched one, found no layer that attnexport.patch changed")
    without_cores(model)
    describe_module(model, **{_DESCRIPTION: None})
    vars(model).pop(_REPORT, None)


def prove_patch(
    model: nn.Module,
    args: Sequence[Any] | Tensor | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> PatchReport:
    """Holds a patched model with the variant's neutral setting to the original, in float64.

    Args:
        model: as patch left it.
        args, kwargs: example inputs, a tensor alone for a tuple of one. Default: None, none.

    Returns:
        The report of the patch, with the figure.

    Raises:
        InputError: the model is not patched, or its variant has no neutral setting.
        ConversionError: an output is off by more than 1e-9 of the largest.
    """
    given = (args,) if isinstance(args, Tensor) else tuple(args or ())
    error = neutral_error(model, given, kwargs or {})
    report: PatchReport = replace(vars(model)[_REPORT], neutral_error=error)
    _keep(model, report)
    return report


def _keep(model: nn.Module, report: PatchReport) -> None:
    vars(model)[_REPORT] = report
    describe_module(model, **{_DESCRIPTION: report.told})


def _core_class(name: str) -> type[AttentionCore]:
    (variant,) = (each for each in all_variants() if each.name == name)
    if variant.core is None:
        raise InputError(f"variant: {name} cannot stand in layers of other libraries: it wants projections of its own")
    return variant.core


def _check_options(name: str, core: type[AttentionCore], options: Mapping[str, Any]) -> None:
    known = [each for each in inspect.signature(core).parameters.values() if each.kind is each.KEYWORD_ONLY]
    names = [each.name for each in known]
    for given in options:
        if given not in names:
            takes = ", ".join(names) or "none"
            raise InputError(f"{given}: expected an option of {name} ({takes}){did_you_mean(given, names)}")
    for each in known:
        if each.default is each.empty and each.name not in options:
            raise InputError(f"{each.name}: {name} needs this option, given none")


def _made(
    core: Callable[..., AttentionCore], path: str, module: nn.Module, said: Replacement, options: Mapping[str, Any]
) -> AttentionCore:
    refuse_dropout(shown(path), module, said.dropout)
    try:
        made = core(said.site, **options)
    except ValueError as error:
        raise InputError(str(error)) from error
    made.layer = shown(path)
    weight = next((each for each in module.parameters() if each.is_floating_point()), None)
    made.train(module.training)
    return made if weight is None else made.to(device=weight.device, dtype=weight.dtype)


def _patched(path: str, module: nn.Module, said: Replacement, core: AttentionCore) -> PatchedLayer:
    was = type(module).__qualname__
    module.__class__ = said.patched
    module.add_module(CORE, core)
    added = {name: tuple(tensor.shape) for name, tensor in core.state_dict().items()}
    return PatchedLayer(path, was, type(core).__qualname__, added)


def _nothing(refused: Sequence[RefusedLayer]) -> str:
    if not refused:
        return "none of torch.nn.MultiheadAttention"
    first = refused[0]
    return f"{len(refused)} that cannot be: {shown(first.layer)}: {first.reason}"
