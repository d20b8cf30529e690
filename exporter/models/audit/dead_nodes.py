"""Nodes whose results nobody uses are taken out, so that nothing runs that the outputs do not show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnexport.models.audit.arithmetic import names_in
from attnexport.models.audit.operators import has_no_effect


def without_dead_nodes(graph: Mapping[str, Any], used_outside: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The graph, and the graphs in it, without nodes that change nothing and whose results are not used.

    Kept are nodes that write into their arguments (buffers, inputs, or a value computed before), assertions, and
    what switches gradients or autocast.

    Args:
        graph: an audited graph.
        used_outside: names that are used in another way than by its nodes and outputs.
    """
    used = {*used_outside, *names_in(graph["outputs"])}
    kept = []
    for node in reversed(graph["nodes"]):
        results = names_in(node["outputs"])
        if _is_pure(node) and used.isdisjoint(results):
            continue
        kept.append(_with_live_graphs(node))
        used.update(name for entry in node["inputs"] for name in names_in(entry["arg"]))
    return {**graph, "nodes": kept[::-1]}


def _is_pure(node: Mapping[str, Any]) -> bool:
    inner = [entry["arg"]["as_graph"]["graph"] for entry in node["inputs"] if "as_graph" in entry["arg"]]
    return has_no_effect(node["target"]) and all(_is_pure(each) for graph in inner for each in graph["nodes"])


def _with_live_graphs(node: Mapping[str, Any]) -> dict[str, Any]:
    return {**node, "inputs": [_with_live_graph(entry) for entry in node["inputs"]]}


def _with_live_graph(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    if "as_graph" not in entry["arg"]:
        return entry
    inner = entry["arg"]["as_graph"]
    return {**entry, "arg": {"as_graph": {**inner, "graph": without_dead_nodes(inner["graph"])}}}
