"""Arithmetic on sizes among a graph's nodes. Python computes it with integers that grow without bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnexport.models.audit import bounds
from attnexport.models.audit.bounds import A_SIZE, Bound
from attnexport.models.audit.shapes import Refusal, at

_SUMS = frozenset({"_operator.add", "_operator.sub", "torch.sym_sum"})
_GROWING = frozenset({"_operator.mul", "_operator.pow", "_operator.lshift"})
_REPEATING = frozenset({"torch.ops.higher_order.while_loop", "torch.ops.higher_order.scan"})


def check_arithmetic(graph: Mapping[str, Any], *, is_repeated: bool = False) -> None:
    """Follow the arithmetic through a graph and the graphs in it.

    Args:
        graph: an audited graph.
        is_repeated: whether it is the body of a loop, where a number may be multiplied as often as the loop runs.

    Raises:
        Refusal: a number or a formula could grow beyond the bounds.
    """
    known: dict[str, Bound] = {}
    for index, node in enumerate(graph["nodes"]):
        at(f".nodes[{index}]", lambda node: _check_node(node, known, is_repeated), node)


def _check_node(node: Mapping[str, Any], known: dict[str, Bound], is_repeated: bool) -> None:
    target = node["target"]
    for inner in _graphs_of(node):
        check_arithmetic(inner, is_repeated=is_repeated or target in _REPEATING)
    if target.startswith("torch.ops."):
        return
    operands = [bound for entry in node["inputs"] for bound in _bounds(entry["arg"], known)]
    if is_repeated and target in _GROWING and sum(operand.value is None for operand in operands) > 1:
        raise Refusal(f"{target} of two sizes in a loop, which could grow with every turn: re-export without it")
    result = _result(target, operands)
    for output in node["outputs"]:
        for name in names_in(output):
            known[name] = result


def _result(target: str, operands: list[Bound]) -> Bound:
    if target in _SUMS:
        return bounds.added(operands)
    if target == "_operator.mul":
        return bounds.multiplied(operands)
    if len(operands) == 2 and target == "_operator.pow":
        return bounds.raised(*operands)
    if len(operands) == 2 and target in ("_operator.lshift", "_operator.rshift"):
        return bounds.shifted(*operands)
    return bounds.rounded(operands) if target.endswith(".round") else bounds.anything_of(operands)


def _graphs_of(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [entry["arg"]["as_graph"]["graph"] for entry in node["inputs"] if "as_graph" in entry["arg"]]


def _bounds(argument: Mapping[str, Any], known: Mapping[str, Bound]) -> list[Bound]:
    ((kind, value),) = argument.items()
    entries = value if isinstance(value, list) else [value]
    return [_bound(kind, entry, known) for entry in entries]


def _bound(kind: str, value: Any, known: Mapping[str, Bound]) -> Bound:
    if isinstance(value, dict):
        written = next(iter(value.values()))
        return known.get(written, A_SIZE) if isinstance(written, str) else _bound(kind, written, known)
    return bounds.number(value) if type(value) in (int, float) else A_SIZE


def names_in(value: Any) -> list[str]:
    """Every value of the graph that an argument or an output of a node names."""
    if isinstance(value, list):
        return [name for entry in value for name in names_in(entry)]
    if not isinstance(value, dict):
        return []
    found = [name for key, entry in value.items() if key not in ("name", "as_name") for name in names_in(entry)]
    return found + [value[key] for key in ("name", "as_name") if isinstance(value.get(key), str)]
