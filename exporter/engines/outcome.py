"""Whether what was built is what was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from attnexport.backends.building import BuiltEngine, Layer
from attnexport.engines.draft import Draft
from attnexport.engines.manifest import FLOATS
from attnexport.errors import BackendError
from attnexport.messages import option


def check_outcome(draft: Draft, built: BuiltEngine) -> None:
    """Refuses an engine in which a node of ours is no plugin although a library was given, or that computes in another
    precision than asked for; for TensorRT 8.x, which chooses layer by layer, one without any layer of it. Where not
    all layers are known, their precision is not judged.

    Raises:
        BackendError: naming the nodes or the precision.
    """
    if draft.library is not None:
        missing = [node.name for node, _ in draft.attention_nodes if node.name not in built.plugin_nodes]
        if missing:
            raise BackendError(
                f"{draft.path}: node {', '.join(map(str, missing))}: expected a plugin of {draft.library.path}, "
                f"{draft.limits.product} built {'its body' if len(missing) == 1 else 'their bodies'}"
            )
    if built.unknown is None:
        _check_precision(draft, built.layers)


def _check_precision(draft: Draft, layers: Sequence[Layer]) -> None:
    operators = {node.op_type for node, _ in draft.attention_nodes}
    of_plugins = _counts([layer for layer in layers if layer.plugin in operators])
    expected = {draft.precision_at(node) for node, _ in draft.attention_nodes}
    wrong = {name: count for name, count in of_plugins.items() if name not in expected}
    if wrong and draft.limits.strongly_typed:
        wanted, found = ", ".join(sorted(expected)), ", ".join(f"{name} x {count}" for name, count in wrong.items())
        raise BackendError(f"{draft.path}: expected plugin layers of {wanted}, {draft.limits.product} built {found}")
    given = _counts(layers)
    if given and draft.precision not in given:
        found = ", ".join(given)
        advice = "" if draft.limits.strongly_typed else f", which it found as fast: give {option('--precision', found)}"
        raise BackendError(
            f"{draft.path}: expected layers of {draft.precision}, {draft.limits.product} built {found} alone{advice}"
        )


def _counts(layers: Sequence[Layer]) -> Counter[str]:
    """Floating outputs by precision."""
    return Counter(name for layer in layers for name in layer.precisions if name in FLOATS)
