"""MODEL on the command line or in Python: a file or a factory is read, safely, as a program or a module."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from attnexport.errors import InputError
from attnexport.messages import count, option
from attnexport.models.audit import audit_pt2_bytes
from attnexport.models.dim_names import notes_on_static
from attnexport.models.loading.checkpoints import fill_weights, read_checkpoint
from attnexport.models.loading.dim_notes import read_note
from attnexport.models.loading.given import GivenModel, WeightsPlace, refuse_program
from attnexport.models.loading.kinds import Kind, read_model_file, recognise
from attnexport.models.loading.modules import module_from_factory
from attnexport.models.loading.programs import EXPORTED_SO, load_audited
from attnexport.models.loading.state_dicts import StateDict
from attnexport.models.loading.weights_ready import check_weights
from attnexport.models.model import Model
from attnexport.printable import printable_line


@dataclass(frozen=True)
class ReadModule:
    """A module in eval mode, which becomes a program with example inputs.

    Attributes:
        module: from a factory or a trusted pickle.
        path: the file of MODEL; None when a factory stands in its place.
        sha256: hex digest of the file. Of several (weights, the file that defines the factory) the digest of
            their digests in this order.
        notes: what a user should know of it. Default: none.
    """

    module: nn.Module
    path: Path | None
    sha256: str
    notes: tuple[str, ...] = ()


def _warn(message: str) -> None:
    warnings.warn(printable_line(message), UserWarning, stacklevel=4)


def read_source(
    path: str | os.PathLike[str] | None,
    *,
    factory: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    weights_key: str | None = None,
    strip_prefix: str | None = None,
    trust_pickle: bool = False,
    warn: Callable[[str], None] | None = None,
    dims_given: bool = False,
) -> Model | ReadModule:
    """Reads MODEL: a program, or the module that stands behind it.

    The arguments are those of :func:`load_model`; ``dims_given`` says whether there are dynamic dims for it.

    Raises:
        InputError: one line that names the file, what was expected and what was given.
    """
    place, warn = WeightsPlace(weights_key, strip_prefix), warn or _warn
    path, weights = _as_path(path), _as_path(weights)
    GivenModel(path, factory, weights, place, dims_given).check()
    if path is None:
        assert factory is not None
        return _from_factory(None, factory, weights, place, trust_pickle, warn)
    data = read_model_file(path)
    kind = recognise(path, io.BytesIO(data))
    if kind == "program":
        archive = audit_pt2_bytes(data, str(path))
        del data
        names, fixed = read_note(archive.notes, str(path))
        program = load_audited(archive, str(path))
        notes = () if fixed else notes_on_static(program, EXPORTED_SO)
        return Model(program, names, fixed, path, archive.sha256, notes)
    if factory is not None:
        return _from_factory(path, factory, None, place, trust_pickle, warn)
    loaded = _read(path, data, kind, trust_pickle, warn)
    if isinstance(loaded, nn.Module):
        return ReadModule(loaded, path, hashlib.sha256(data).hexdigest())
    first = loaded[0].entries
    raise InputError(
        f"{path}: holds weights only ({count(len(first), 'tensor')}, the first is {next(iter(first))}): add "
        f"{option('--model', 'pkg.module:factory')}, a function that builds their nn.Module"
    )


def _as_path(path: str | os.PathLike[str] | None) -> Path | None:
    return None if path is None else Path(path)


def _from_factory(
    path: Path | None,
    factory: str,
    weights: Path | None,
    place: WeightsPlace,
    trust_pickle: bool,
    warn: Callable[[str], None],
) -> ReadModule:
    source = path or weights
    digests, state = [], None
    if source is not None:
        data = read_model_file(source)
        state = _weights(source, data, recognise(source, io.BytesIO(data)), trust_pickle, warn)
        digests.append(hashlib.sha256(data).hexdigest())
    module, code = module_from_factory(factory)
    if state is not None:
        fill_weights(module, state, str(source), key=place.key, prefix=place.prefix)
    try:
        check_weights(module)
    except InputError as error:
        raise InputError(f"{option('--model', factory)}: {error}") from None
    if code is not None:
        digests.append(hashlib.sha256(Path(code).read_bytes()).hexdigest())
    return ReadModule(module, path, _combined(digests), () if state is not None else (_on_weights(factory),))


def _on_weights(factory: str) -> str:
    given = f"{option('--model', factory)}: no weights were given"
    return f"{given}: the model has those that it was built with, random ones unless it loads its own"


def _combined(digests: Sequence[str]) -> str:
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _weights(path: Path, data: bytes, kind: Kind, trust_pickle: bool, warn: Callable[[str], None]) -> list[StateDict]:
    refuse_program(path, kind)
    loaded = _read(path, data, kind, trust_pickle, warn)
    return [StateDict("", loaded.state_dict())] if isinstance(loaded, nn.Module) else loaded


def _read(
    path: Path, data: bytes, kind: Kind, trust_pickle: bool, warn: Callable[[str], None]
) -> nn.Module | list[StateDict]:
    """What a checkpoint or a safetensors file holds, at least one tensor."""
    if kind == "safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            tensors = load(data)
        except (SafetensorError, ValueError, KeyError) as error:
            raise InputError(f"{path}: the safetensors file is truncated or damaged: {error}") from None
        if not tensors:
            raise InputError(f"{path}: expected weights, given a safetensors file without tensors")
        return [StateDict("", tensors)]
    return read_checkpoint(path, data, trust_pickle=trust_pickle, warn=warn)
