"""Operators that the TensorRT at hand does not know, where its parser would speak of plugins."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from attnexport.backends.building import Survey
from attnexport.engines.draft import Draft
from attnexport.engines.preflight.operator_table import LAST_LISTED, known_operators
from attnexport.engines.preflight.plugin_nodes import creators_of
from attnexport.errors import InputError


def check_operators(draft: Draft, survey: Survey | None) -> None:
    """Refuses operators that are neither known, nor a function of the file, nor a plugin.

    Raises:
        InputError: naming the node and the operator.
    """
    known = known_operators(draft.limits.release)
    for node in _parsed_nodes(draft, survey):
        if survey is not None:
            unknown = node.op_type in survey.unknown_operators
        else:
            unknown = known is not None and node.op_type not in known
        if not unknown:
            continue
        why = f"operator {node.op_type} is unknown to {draft.limits.product}"
        if node.domain not in ("", "ai.onnx"):
            why = (
                f"operator {node.domain}::{node.op_type} is no standard operator, and no plugin of that name is loaded"
            )
        raise InputError(f"{draft.path}: node {node.name}: {why}")


def every_operator(model: ir.Model) -> list[str]:
    """Every operator in the file, in its graphs and functions; a parser looks at names alone."""
    places: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    return sorted({node.op_type for place in places for node in ir.traversal.RecursiveGraphIterator(place)})


def suspects(draft: Draft) -> list[str]:
    """Operators that the last TensorRT with a public list did not know, for one without a list that failed."""
    last = known_operators(LAST_LISTED) or frozenset()
    return sorted({node.op_type for node in _parsed_nodes(draft, None)} - last)


def _parsed_nodes(draft: Draft, survey: Survey | None) -> Iterator[ir.Node]:
    """The nodes that the parser imports itself: neither functions, whose bodies it imports, nor plugins."""
    plugins = {creator.name for creator in creators_of(draft, survey)}
    functions = {identifier[:2]: function for identifier, function in draft.model.functions.items()}
    if not draft.limits.local_functions:
        functions = {}
    pending: list[ir.Graph | ir.Function] = [draft.model.graph]
    seen: set[tuple[str, str]] = set()
    while pending:
        for node in ir.traversal.RecursiveGraphIterator(pending.pop()):
            name = (node.domain, node.op_type)
            if node.op_type in plugins:
                continue
            if name in functions:
                if name not in seen:
                    seen.add(name)
                    pending.append(functions[name])
                continue
            yield node
