"""Weights, constants and example inputs: raw tensors only, each inside its own bytes."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch._export.serde.serialize import _SERIALIZE_TO_TORCH_DTYPE
from torch.utils import _pytree as pytree

from attnexport.errors import first_line
from attnexport.models.audit.archive import Records
from attnexport.models.audit.expressions import is_plain_key
from attnexport.models.audit.program import tensor_meta
from attnexport.models.audit.shapes import MAX_TEXT, Refusal, attribute_path, boolean, dict_of, optional, record, shown

_RAW_RECORD = re.compile(r"(weight|tensor)_[0-9]{1,9}")
_LEAVES = (torch.Tensor, torch.nn.Parameter, bool, int, float, complex, str, type(None), torch.dtype)


def _path_name(value: object) -> str:
    if isinstance(value, str) and _RAW_RECORD.fullmatch(value):
        return value
    if isinstance(value, str) and value.startswith(("custom_obj_", "opaque_obj_")):
        raise Refusal("a TorchScript or custom Python object, and unpickling it can run any code")
    raise Refusal(f"{shown(value)} is not the name of a tensor's record")


def _not_pickled(value: object) -> bool:
    if boolean(value):
        raise Refusal(
            "a pickled tensor subclass, and unpickling it can run any code: re-export the model with plain tensors"
        )
    return False


_config = record(
    {
        "config": dict_of(
            attribute_path,
            record(
                {"path_name": _path_name, "is_param": boolean, "use_pickle": _not_pickled},
                {"tensor_meta": optional(tensor_meta)},
            ),
        )
    }
)


def audit_tensors(config: bytes, folder: str, record_size: Callable[[str], int | None]) -> tuple[bytes, list[str]]:
    """Check a weights or constants config against the sizes of the records that it names.

    Returns:
        The rebuilt config, and the names of the records that it needs.
    """
    try:
        checked = _config(json.loads(config.decode("utf-8")))
    except (ValueError, RecursionError):
        raise Refusal(f"the list of tensors in {folder} is not JSON") from None
    needed: dict[str, None] = {}
    for name, payload in checked["config"].items():
        if payload.get("tensor_meta") is None:
            raise Refusal(f"the tensor {shown(name)} has no size or type")
        path = folder + payload["path_name"]
        size = record_size(path)
        if size is None:
            raise Refusal(f"the data of the tensor {shown(name)} ({path}) is missing")
        _fits(name, payload["tensor_meta"], size)
        needed[path] = None
    return json.dumps(checked).encode(), list(needed)


def _fits(name: str, meta: Mapping[str, Any], available: int) -> None:
    if meta["device"]["type"] == "cuda" and not torch.cuda.is_available():
        raise Refusal(
            f"the tensor {shown(name)} is on a CUDA device, and torch finds none here: export the model "
            "on the CPU, or move the program with torch.export.passes.move_to_device_pass(program, 'cpu')"
        )
    sizes, strides, offset = (
        [entry.get("as_int", -1) for entry in entries]
        for entries in (meta["sizes"], meta["strides"], [meta["storage_offset"]])
    )
    if len(sizes) != len(strides) or min([*sizes, *strides, *offset]) < 0:
        raise Refusal(f"the tensor {shown(name)} has no fixed size")
    item = torch.empty(0, dtype=_SERIALIZE_TO_TORCH_DTYPE[meta["dtype"]]).element_size()
    last = sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True)) + offset[0]
    needed = (last + 1) * item if math.prod(sizes) else 0
    if needed > available or available % item:
        raise Refusal(f"the tensor {shown(name)} needs {needed} bytes in items of {item}, its record holds {available}")


def audit_example_inputs(data: bytes) -> bytes:
    """Read the example inputs without running pickled code and write them anew.

    torch reads them with weights_only=True and, when that fails for whatever reason, again without it.
    """
    if not data:
        return b""
    try:
        Records(data)
        unknown = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data))
        registered = registered_inputs()
        strangers = sorted(name for name in unknown if name not in registered)
        if strangers:
            raise Refusal(
                f"the example inputs hold pickled Python objects ({', '.join(map(shown, strangers[:3]))}), "
                "and unpickling can run any code: re-export the model with tensors, tuples, lists and dicts"
            )
        with torch.serialization.safe_globals([registered[name] for name in unknown]):
            loaded = torch.load(io.BytesIO(data), weights_only=True)
        rebuilt = _rebuilt(loaded)
    except Refusal as refusal:
        raise refusal.under(".sample_inputs") from None
    except Exception as error:
        reason = first_line(error, 200)
        raise Refusal(f"the example inputs cannot be read safely: {type(error).__name__}: {reason}") from None
    if not (isinstance(rebuilt, tuple) and len(rebuilt) == 2):
        raise Refusal("the example inputs are not a pair of positional and keyword inputs")
    buffer = io.BytesIO()
    torch.save(rebuilt, buffer)
    return buffer.getvalue()


def registered_inputs() -> dict[str, type]:
    """The named tuples and dataclasses that this process registered as inputs, by their qualified name."""
    return {
        f"{kind.__module__}.{kind.__qualname__}": kind
        for kind in pytree.SUPPORTED_SERIALIZED_TYPES
        if isinstance(kind, type)
        and not kind.__module__.startswith("torch")
        and (dataclasses.is_dataclass(kind) or pytree.is_namedtuple_class(kind))
    }


def _rebuilt(inputs: object) -> object:
    """The same inputs from new containers and bare tensors. torch pastes their dict keys into source code."""
    leaves, spec = pytree.tree_flatten_with_path(inputs)
    for path, _ in leaves:
        for part in path:
            if isinstance(part, pytree.MappingKey) and not is_plain_key(part.key):
                raise Refusal(
                    f"the example inputs have a dict key {shown(part.key)}, which could end up as Python code"
                )
    return pytree.tree_unflatten([_plain_leaf(leaf) for _, leaf in leaves], spec)


def _plain_leaf(leaf: object) -> object:
    if type(leaf) not in _LEAVES:
        raise Refusal(f"the example inputs hold a {type(leaf).__name__}, not only tensors and numbers")
    if (isinstance(leaf, str) and len(leaf) > MAX_TEXT) or (isinstance(leaf, int) and abs(leaf) >= 2**64):
        raise Refusal(f"the example inputs hold a number of over 64 bits or a text of over {MAX_TEXT} characters")
    if isinstance(leaf, torch.Tensor):
        return leaf.detach().requires_grad_(leaf.requires_grad)
    return leaf
