"""What no ONNX file may hold, whatever reads it next: texts that are none, functions that never end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from attnexport.errors import InputError

MAX_NODES = 2_000_000
"""How many nodes a file may have once every function stands in the place of its calls."""

FunctionName = tuple[str, str, str]


def check_soundness(path: Path, model: onnx.ModelProto) -> None:
    """Refuses a parsed file that readers stumble over or that would grow without end.

    Raises:
        InputError: a text that is not UTF-8, or functions that call themselves or grow beyond MAX_NODES nodes.
    """
    for field, owner in _undecodable(model):
        raise InputError(f"{path}: expected texts in UTF-8, given other bytes in the field {field} of a {owner}")
    functions = {(each.domain, each.name, each.overload): each for each in model.functions}
    calls = {name: _called(function.node) for name, function in functions.items()}
    totals: dict[FunctionName, int] = {}
    for name in functions:
        _count(path, name, calls, totals)
    _sum(path, _called(model.graph.node), totals)


def _undecodable(message: Message) -> Iterator[tuple[str, str]]:
    """Names of fields whose text protobuf left as bytes, and of what holds them."""
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            texts = [value] if isinstance(value, (str, bytes)) else value
            if any(isinstance(text, bytes) for text in texts):
                yield field.name, message.DESCRIPTOR.name
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in [value] if isinstance(value, Message) else value:
                yield from _undecodable(inner)


def _called(nodes: Iterator[onnx.NodeProto]) -> list[FunctionName]:
    """What the nodes call, also those in branches and loops, one name for each node."""
    names = []
    for node in nodes:
        names.append((node.domain, node.op_type, node.overload))
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                names += _called(graph.node)
    return names


def _count(
    path: Path, name: FunctionName, calls: dict[FunctionName, list[FunctionName]], totals: dict[FunctionName, int]
) -> None:
    """Writes into totals how many nodes a function has when the functions that it calls stand in their places."""
    open_calls = [name]
    while open_calls:
        current = open_calls[-1]
        waiting = {called for called in calls[current] if called in calls and called not in totals}
        if waiting.intersection(open_calls):
            raise InputError(f"{path}: expected functions that end, given {current[1]!r}, which calls itself")
        if waiting:
            open_calls.append(min(waiting))
            continue
        totals[current] = _sum(path, calls[current], totals)
        open_calls.pop()


def _sum(path: Path, called: list[FunctionName], totals: dict[FunctionName, int]) -> int:
    total = sum(totals.get(name, 1) for name in called)
    if total > MAX_NODES:
        raise InputError(f"{path}: expected at most {MAX_NODES:,} nodes, given functions that make more of each other")
    return total
