"""The arguments of a node beside the schema of its operator. torch pairs them by name and by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from attnexport.models.audit.shapes import Refusal, shown

_POSITIONAL, _BY_NAME = 1, 2

# torch takes any integer for these and uses it as an index without looking at it.
_ONLY_AS = {
    "Device": "as_device",
    "Generator": "as_none",
    "Layout": "as_layout",
    "MemoryFormat": "as_memory_format",
    "ScalarType": "as_scalar_type",
}


def check_arguments(operator: torch._ops.OpOverload, inputs: Sequence[Mapping[str, Any]]) -> None:
    """Check that every argument is one of the schema's, in its place, and that types are given as types.

    Raises:
        Refusal: torch would give an argument in the place of another one.
    """
    given = {entry["name"]: entry for entry in inputs}
    schema = operator._schema.arguments
    known = [argument.name for argument in schema]
    strangers = sorted(set(given) - set(known))
    if strangers or len(given) != len(inputs):
        raise Refusal(f"{operator} with arguments that it does not have or has twice ({shown(strangers)})")
    in_place = [argument.name for argument in schema if argument.name in given and _is_positional(argument, given)]
    if in_place != known[: len(in_place)]:
        raise Refusal(f"{operator} with arguments in another order than its own")
    for argument in schema:
        kind = str(argument.real_type).removeprefix("Optional[").removesuffix("]")
        if (
            argument.name in given
            and kind in _ONLY_AS
            and not {_ONLY_AS[kind], "as_none"} & set(given[argument.name]["arg"])
        ):
            raise Refusal(f"{operator} whose argument {argument.name} is not of the type {kind}")


def check_function_arguments(target: str, inputs: Sequence[Mapping[str, Any]]) -> None:
    """As check_arguments, for a function that is no operator: vmap's takes an axis that torch does not look at.

    Raises:
        Refusal: a result of vmap whose axis is not written out as the first one.
    """
    if target == "torch._functorch.predispatch._remove_batch_dim":
        arguments = [entry["arg"] for entry in inputs if entry.get("kind") == _POSITIONAL]
        if len(arguments) != len(inputs) or arguments[3:] != [{"as_int": 0}]:
            raise Refusal("vmap with other out_dims than 0: move the axis of its result with movedim, and re-export")


def _is_positional(argument: Any, given: Mapping[str, Mapping[str, Any]]) -> bool:
    kind = given[argument.name].get("kind")
    if kind in (_POSITIONAL, _BY_NAME):
        return bool(kind == _POSITIONAL)
    return not argument.has_default_value() and not argument.kwarg_only
