"""MODEL on the command line or in Python: a file or a factory becomes a program or a module, safely."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.export import ExportedProgram

from attnexport.errors import InputError
from attnexport.models.audit import audit_pt2_bytes
from attnexport.models.loading.checkpoints import fill_weights, read_checkpoint
from attnexport.models.loading.dim_notes import DimNames, FixedDims, read_note
from attnexport.models.loading.kinds import Kind, read_model_file, recognise
from attnexport.models.loading.modules import module_from_factory
from attnexport.models.loading.programs import NamedProgram, export_module, export_named, load_audited
from attnexport.models.loading.state_dicts import StateDict
from attnexport.models.loading.weights_ready import check_weights
from attnexport.printable import printable_line

__all__ = ["LoadedModel", "as_program", "export_module", "load_model", "named_program"]


@dataclass(frozen=True)
class LoadedModel:
    """A model as it was given: either a program or a module in eval mode.

    Attributes:
        program: from a .pt2, else None.
        module: from a factory or a trusted pickle, else None.
        path: the file of MODEL; None when a factory stands in its place.
        sha256: hex digest of the file. Of several (weights, the file that defines the factory) the digest of
            their digests in this order.
        dim_names: {input name: {axis: name}} as attnexport.save kept them: texts from the file, checked to be
            names or formulas such as ``2*n``. Empty for a module.
        fixed: {input name: axes} that were declared with Dim.AUTO and are static. Empty for a module.
    """

    program: ExportedProgram | None
    module: nn.Module | None
    path: Path | None
    sha256: str
    dim_names: DimNames = field(default_factory=dict)
    fixed: FixedDims = field(default_factory=dict)


def _warn(message: str) -> None:
    warnings.warn(printable_line(message), UserWarning, stacklevel=4)


def load_model(
    path: str | os.PathLike[str] | None,
    *,
    factory: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    weights_key: str | None = None,
    strip_prefix: str | None = None,
    trust_pickle: bool = False,
    warn: Callable[[str], None] = _warn,
) -> LoadedModel:
    """Loads a MODEL without running code from it, as far as the audit of a .pt2 sees.

    It is read in this process, which may do all that its user may, and so is what runs the program later. The command
    line reads a .pt2 in a child that can harm little: use that for files of people whom you do not trust.

    Args:
        path: a .pt2 (audited, then read), a .pt or .pth (a state dict or a checkpoint, which needs ``factory``;
            a pickled nn.Module only with trust_pickle), or None when ``factory`` is given. The content
            decides, not the suffix.
        factory: ``pkg.module:name``, imported with the current folder on the path and called without
            arguments. Default: None.
        weights: a .pt, .pth or .safetensors file for the factory's module. Default: None.
        weights_key: where in a checkpoint they are, as ``ema`` or ``model.state_dict``. Default: None, wherever names
            and shapes are the module's, which must be one place.
        strip_prefix: what to take off their names, as ``module.``; weights without it are left out. Default: None,
            what must be taken off all of them.
        trust_pickle: unpickle objects other than tensors, which can run any code. Default: False.
        warn: is told the risk before anything is unpickled. Default: warnings.warn.

    Returns:
        The program or module.

    Raises:
        InputError: one line that names the file, what was expected and what was given.
    """
    place = WeightsPlace(weights_key, strip_prefix)
    if path is None:
        if factory is None:
            raise InputError("no MODEL: give a .pt2, .pt or .pth file, or --model pkg.module:factory")
        return _from_factory(None, factory, weights, place, trust_pickle, warn)
    path = Path(path)
    data = read_model_file(path)
    kind = recognise(path, data)
    if kind == "program":
        if factory is not None or weights is not None:
            raise InputError(
                f"{path}: is a torch.export archive, which holds model and weights: leave out --model and --weights"
            )
        if place != WeightsPlace():
            raise InputError(f"{path}: is a torch.export archive: leave out --weights-key and --strip-prefix")
        archive = audit_pt2_bytes(data, str(path))
        del data
        names, fixed = read_note(archive.notes, str(path))
        return LoadedModel(load_audited(archive, str(path)), None, path, archive.sha256, names, fixed)
    if weights is not None:
        raise InputError(f"{path} and --weights {weights} both hold weights: give one of them")
    if kind == "safetensors":
        wanted = f"give it as --weights {path} with --model pkg.module:factory"
        raise InputError(f"{path}: is a safetensors file, which holds weights but no model: {wanted}")
    if factory is not None:
        return _from_factory(path, factory, None, place, trust_pickle, warn)
    loaded = read_checkpoint(path, data, trust_pickle=trust_pickle, warn=warn)
    if isinstance(loaded, nn.Module):
        return LoadedModel(None, loaded, path, hashlib.sha256(data).hexdigest())
    first = loaded[0].entries
    raise InputError(
        f"{path}: holds weights only ({len(first)} tensors, the first is {next(iter(first))}): add --model "
        "pkg.module:factory, a function that builds their nn.Module"
    )


@dataclass(frozen=True)
class WeightsPlace:
    """Where in a file the weights are: under which key, behind which prefix; None for whichever fits."""

    key: str | None = None
    prefix: str | None = None


def _from_factory(
    path: Path | None,
    factory: str,
    weights: str | os.PathLike[str] | None,
    place: WeightsPlace,
    trust_pickle: bool,
    warn: Callable[[str], None],
) -> LoadedModel:
    source = path if path is not None else Path(weights) if weights is not None else None
    digests, state = [], None
    if source is not None:
        data = read_model_file(source)
        state = _weights(source, data, recognise(source, data), trust_pickle, warn)
        digests.append(hashlib.sha256(data).hexdigest())
    module, code = module_from_factory(factory)
    if state is not None:
        fill_weights(module, state, str(source), key=place.key, prefix=place.prefix)
    elif place != WeightsPlace():
        raise InputError("--weights-key, --strip-prefix: expected beside a file of weights, given none")
    try:
        check_weights(module)
    except InputError as error:
        raise InputError(f"--model {factory}: {error}") from None
    if code is not None:
        digests.append(hashlib.sha256(Path(code).read_bytes()).hexdigest())
    return LoadedModel(None, module, path, _combined(digests))


def _combined(digests: Sequence[str]) -> str:
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _weights(path: Path, data: bytes, kind: Kind, trust_pickle: bool, warn: Callable[[str], None]) -> list[StateDict]:
    if kind == "program":
        raise InputError(
            f"{path}: is a torch.export archive, expected weights (.pt, .pth or .safetensors): give it as MODEL"
        )
    if kind == "safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            return [StateDict("", load(data))]
        except (SafetensorError, ValueError, KeyError) as error:
            raise InputError(f"{path}: the safetensors file is truncated or damaged: {error}") from None
    loaded = read_checkpoint(path, data, trust_pickle=trust_pickle, warn=warn)
    return [StateDict("", loaded.state_dict())] if isinstance(loaded, nn.Module) else loaded


def named_program(
    loaded: LoadedModel,
    args: Sequence[Any] | Tensor | None = None,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
) -> NamedProgram:
    """The program of a LoadedModel with the names of its dims, exporting its module with these inputs.

    Args:
        loaded: from load_model.
        args, kwargs, dynamic_shapes: as export_named takes them; not used for a model that is a program.

    Raises:
        InputError: the inputs or dynamic_shapes do not fit the model.
        ConversionError: the model's code does not allow the export, or fixes a dynamic dim.
    """
    if loaded.program is not None:
        return NamedProgram(loaded.program, loaded.dim_names, loaded.fixed)
    return export_named(loaded.module, args, kwargs, dynamic_shapes)


def as_program(
    loaded: LoadedModel,
    args: Sequence[Any] | Tensor | None = None,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
) -> ExportedProgram:
    """As :func:`named_program`, the program alone."""
    return named_program(loaded, args, kwargs, dynamic_shapes).program
