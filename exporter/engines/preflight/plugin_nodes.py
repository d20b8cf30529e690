"""Every attention node against the plugins there are: name, version and namespace."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from attnexport.backends.building import Creator, Survey
from attnexport.engines.draft import Draft
from attnexport.errors import InputError
from attnexport.messages import option
from attnexport.variants.descriptions import ONNX_DOMAIN, PLUGIN_VERSION


def check_plugin_nodes(draft: Draft, survey: Survey | None) -> None:
    """Refuses nodes that find no plugin in the library given, and without one those that have no body.

    Raises:
        InputError: naming the node, what it looks up and what there is.
    """
    if draft.library is None:
        bodies = {identifier[:2] for identifier in draft.model.functions}
        for node, _ in draft.attention_nodes:
            if (node.domain, node.op_type) not in bodies:
                raise InputError(
                    f"{draft.path}: node {node.name} ({node.op_type}) has no body: give the plugin library, "
                    f"{option('--plugins', 'LIB')}"
                )
        return
    creators = creators_of(draft, survey)
    for node, _ in draft.attention_nodes:
        _check_node(draft, node, creators)


def creators_of(draft: Draft, survey: Survey | None) -> tuple[Creator, ...]:
    """The plugins that TensorRT finds, as it says itself, else as the library says."""
    if survey is not None:
        return survey.creators
    names = () if draft.library is None else tuple(draft.library.ops)
    return tuple(Creator(name, PLUGIN_VERSION, ONNX_DOMAIN) for name in names)


def _check_node(draft: Draft, node: ir.Node, creators: Sequence[Creator]) -> None:
    assert draft.library is not None
    where = f"{draft.path}: node {node.name} ({node.op_type})"
    if "plugin_namespace" not in node.attributes:
        raise InputError(f"{where}: expected the attribute plugin_namespace, without which TensorRT prefers its body")
    wanted = Creator(node.op_type, _text(node, "plugin_version", "1"), _text(node, "plugin_namespace", ""))
    if wanted in creators:
        return
    near = [creator for creator in creators if creator.name == wanted.name]
    library = draft.library.path
    if near:
        raise InputError(f"{where}: expected plugin {wanted}, {library} has {', '.join(map(str, near))}")
    have = ", ".join(sorted(draft.library.ops)) or "none"
    raise InputError(
        f"{where}: expected plugin {wanted}, {library} has no plugin of that name but {have}: build it again, "
        "attnexport plugins build without --for or with --for this model"
    )


def _text(node: ir.Node, name: str, otherwise: str) -> str:
    attribute = node.attributes.get(name)
    return otherwise if attribute is None else str(attribute.value)
