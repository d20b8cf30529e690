"""The model's layers as a tree: numbered modules are boxes around what runs inside them, each with its errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from attnexport.accuracy.check.findings import LayerError


@dataclass
class Node:
    """A layer, or a numbered module around layers.

    Attributes:
        path: of the module, empty for the model.
        name: what to call it inside of the module around it.
        errors: of its tensors that were compared.
        children: in the order in which they run; empty for a layer.
    """

    path: str
    name: str
    errors: list[LayerError] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    def leaves(self) -> Iterator[Node]:
        """The layers in it, in order."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()

    @property
    def worst(self) -> LayerError | None:
        """What is furthest outside its budget in it, None where nothing was compared."""
        errors = [error for leaf in self.leaves() for error in leaf.errors]
        return max(errors, key=lambda error: (not error.passed, error.share), default=None)

    @property
    def passed(self) -> bool:
        """Whether nothing in it is outside its budget."""
        return self.worst is None or self.worst.passed

    def holds(self, error: LayerError | None) -> bool:
        """Whether an error is of a layer in it."""
        return any(error == other for leaf in self.leaves() for other in leaf.errors)


def model_tree(layers: Sequence[str], errors: Sequence[LayerError]) -> Node:
    """The whole model.

    Args:
        layers: module paths in the order in which they run. Where there are none, those that were compared.
        errors: of tensors that were compared, in topological order.
    """
    root = Node("", "")
    boxes = {"": root}
    found: dict[str, Node] = {}
    paths = list(dict.fromkeys([*layers, *(error.layer for error in errors if error.layer)]))
    around = {box for path in paths for box in _numbered_around(path)}
    for path in paths:
        if path not in around:
            parent = _box(path, boxes)
            found[path] = Node(path, _within(path, parent.path))
            parent.children.append(found[path])
    for position, error in enumerate(errors):
        if error.layer in found:
            found[error.layer].errors.append(error)
        else:
            _add_own(_box(f"{error.layer}.", boxes), error, errors[position + 1 :])
    return root


def _numbered_around(path: str) -> Iterator[str]:
    """The numbered modules around a module, outermost first, as ``blocks.3`` around ``blocks.3.attention``."""
    parts = path.split(".")
    for end in range(1, len(parts)):
        if parts[end - 1].isdecimal():
            yield ".".join(parts[:end])


def _box(path: str, boxes: dict[str, Node]) -> Node:
    """The innermost box around a path, made with those around it where it is new."""
    parent = boxes[""]
    for box in _numbered_around(path):
        if box not in boxes:
            boxes[box] = Node(box, _within(box, parent.path))
            parent.children.append(boxes[box])
        parent = boxes[box]
    return parent


def _within(path: str, box: str) -> str:
    return path.removeprefix(f"{box}.") if box else path


def _add_own(box: Node, error: LayerError, following: Sequence[LayerError]) -> None:
    """Puts what a box computes itself, as a residual sum, before the next of its layers that was compared."""
    parts = error.op.split(".")
    own = Node(error.layer, parts[1] if len(parts) > 1 else error.op, [error])
    inside = (other.layer for other in following if other.layer != box.path)
    next_inside = next((path for path in inside if path.startswith(f"{box.path}.") or not box.path), None)
    for position, child in enumerate(box.children):
        if next_inside is not None and (child.path == next_inside or next_inside.startswith(f"{child.path}.")):
            box.children.insert(position, own)
            return
    box.children.append(own)
