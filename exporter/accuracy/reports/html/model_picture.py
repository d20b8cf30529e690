"""The model as boxes in the order in which they run, each with its error, laid out for an SVG drawing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from attnexport.accuracy.check.findings import Bisection, LayerError
from attnexport.accuracy.reports.html.model_tree import Node, model_tree
from attnexport.accuracy.reports.html.share_scale import MARK, length
from attnexport.accuracy.reports.wording import budgets, layer_name, number
from attnexport.messages import count

WIDE, NARROW = 1040.0, 340.0
"""Widths of the drawing for screens of a desk and of a phone."""

_MANY = 16
"""Boxes up to which each is drawn; of more, runs of alike ones become one."""

_GAP, _PAD, _CELL, _LEAST, _TITLE = 6.0, 8.0, 44.0, 150.0, 20.0
_LETTER = 8.4
"""Width of a letter of 13 px in wide fonts."""


@dataclass(frozen=True)
class Cell:
    """A layer.

    Attributes:
        x, y, width, height: its place.
        name: as long as there is room for it.
        amount: what it uses of its budget, in words.
        state: within, outside, guilty, unjudged or not-compared.
        used: width of its bar.
        mark: where the budget is, from its left.
        title: all of it in words, for a tooltip.
    """

    x: float
    y: float
    width: float
    height: float
    name: str
    amount: str
    state: str
    used: float
    mark: float
    title: str


@dataclass(frozen=True)
class Box:
    """A numbered module around layers, or a run of alike ones.

    Attributes:
        x, y, width, height: its place.
        name: as long as there is room for it.
        more: what is not drawn of it, in words.
        state: within, outside or guilty.
        title_x, title_y, more_y: where the texts begin.
        title: all of it in words, for a tooltip.
    """

    x: float
    y: float
    width: float
    height: float
    name: str
    more: str
    state: str
    title_x: float
    title_y: float
    more_y: float
    title: str


@dataclass(frozen=True)
class Sliver:
    """One of a run of boxes that are drawn as one: a bar as high as it uses its budget.

    Attributes:
        x, y, width, height: its place.
        state: within or outside.
        title: what it is, for a tooltip.
    """

    x: float
    y: float
    width: float
    height: float
    state: str
    title: str


@dataclass
class ModelPicture:
    """The drawing.

    Attributes:
        width, height: of it.
        boxes: outermost first.
        cells: of layers.
        slivers: of runs of boxes.
        marks: of the budget across the slivers, as x, y and width.
        summary: what it shows, for those who do not see it.
    """

    width: float
    summary: str
    height: float = 0.0
    boxes: list[Box] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    slivers: list[Sliver] = field(default_factory=list)
    marks: list[tuple[float, float, float]] = field(default_factory=list)


def model_picture(layers: Sequence[str], bisection: Bisection, width: float) -> ModelPicture | None:
    """Lays the drawing out, None where nothing was compared.

    Args:
        layers: module paths in the order in which they run.
        bisection: what was compared.
        width: of the drawing.
    """
    if not bisection.layers:
        return None
    guilty = bisection.guilty
    drawn = ModelPicture(width, _summary(bisection))
    layout = _Layout(drawn, guilty)
    root = model_tree(layers, bisection.layers)
    drawn.height = layout.place(_runs(root.children, guilty), 0.0, 0.0, width)
    return drawn


@dataclass(frozen=True)
class _Run:
    """Several boxes in a row that are drawn as one."""

    boxes: Sequence[Node]


def _runs(nodes: Sequence[Node], guilty: LayerError | None) -> list[Node | _Run]:
    """The nodes; where there are many boxes, those that are alike and not beside the guilty one in runs."""
    if sum(bool(node.children) for node in nodes) <= _MANY:
        return list(nodes)
    centre = next((at for at, node in enumerate(nodes) if guilty is not None and node.holds(guilty)), None)

    def kind(at: int) -> tuple[int, str]:
        alone = not nodes[at].children or (centre is not None and abs(at - centre) <= 1)
        return (at, "") if alone else (-1, "within" if nodes[at].passed else "outside")

    found: list[Node | _Run] = []
    for _, positions in itertools.groupby(range(len(nodes)), kind):
        run = [nodes[at] for at in positions]
        found += run if len(run) < 3 else [_Run(run)]
    return found


class _Layout:
    """Puts nodes below one another.

    Args:
        drawn: is filled.
        guilty: what is outside first, or None.
    """

    def __init__(self, drawn: ModelPicture, guilty: LayerError | None) -> None:
        self._drawn, self._guilty = drawn, guilty

    def place(self, nodes: Sequence[Node | _Run], x: float, y: float, width: float) -> float:
        """Layers side by side, boxes across the whole width. Returns where they end."""
        for are_layers, group in itertools.groupby(nodes, lambda node: isinstance(node, Node) and not node.children):
            for part in [list(group)] if are_layers else [[node] for node in group]:
                if are_layers:
                    y = self._layers([node for node in part if isinstance(node, Node)], x, y, width)
                elif isinstance(part[0], _Run):
                    y = self._run(part[0].boxes, x, y, width)
                else:
                    y = self._box(part[0], x, y, width)
        return y

    def _layers(self, layers: Sequence[Node], x: float, y: float, width: float) -> float:
        if width == self._drawn.width:
            x, width = x + _PAD, width - 2 * _PAD
            if _has_room_beside(self._drawn.width):
                x, width = x + _LEAST + _GAP, width - _LEAST - _GAP
        columns = max(int((width + _GAP) // (_LEAST + _GAP)), 1)
        step = (width + _GAP) / columns
        column = 0
        for layer in layers:
            wide = min(2, columns) if layer.holds(self._guilty) else 1
            if column + wide > columns:
                column, y = 0, y + _CELL + _GAP
            self._drawn.cells.append(self._cell(layer, x + column * step, y, wide * step - _GAP))
            column += wide
        return y + _CELL + _GAP

    def _cell(self, layer: Node, x: float, y: float, width: float) -> Cell:
        worst = layer.worst
        guilty = self._guilty if self._guilty is not None and layer.holds(self._guilty) else None
        room = int((width - 16) / _LETTER)
        name = layer.name or _name_of(layer)
        if worst is None:
            title = f"{layer.path}: not compared"
            return Cell(x, y, width, _CELL, _shortened(name, room), "not compared", "not-compared", 0.0, 0.0, title)
        shown = guilty or worst
        state = "unjudged" if shown.budget is None else "within" if shown.passed else "outside"
        amount = _amount(shown)
        if guilty is not None:
            state, amount = "guilty", f"{amount}, first outside"
        used = 0.0 if shown.budget is None else length(shown.share) * width
        title = "; ".join(_sentence(error) for error in layer.errors)
        return Cell(x, y, width, _CELL, _shortened(name, room), amount, state, used, MARK * width, title)

    def _box(self, box: Node, x: float, y: float, width: float) -> float:
        """Its name, and beside it, or below where there is no room, what is in it."""
        guilty = self._guilty is not None and box.holds(self._guilty)
        children = [child for child in box.children if guilty or child.worst is not None]
        left_out = len(list(box.leaves())) - sum(len(list(child.leaves())) for child in children)
        at = len(self._drawn.boxes)
        beside = _has_room_beside(width)
        title_width = _LEAST if beside else width - 2 * _PAD
        inner_x = x + _PAD + (_LEAST + _GAP if beside else 0)
        inner_y = y + _PAD + (0 if beside else _TITLE + (18 if left_out else 2))
        bottom = self.place(children, inner_x, inner_y, x + width - _PAD - inner_x) if children else inner_y + _GAP
        bottom = max(bottom - _GAP, inner_y + (_CELL if beside else 0)) + _PAD
        state = "guilty" if guilty else "within" if box.passed else "outside"
        more = f"{left_out} not compared" if left_out else ""
        name = _shortened(box.name, int(title_width / _LETTER))
        title_y = y + _PAD + (18 if beside else 14)
        drawn = Box(
            x, y, width, bottom - y, name, more, state, x + _PAD + 2, title_y, title_y + 17, _box_title(box, more)
        )
        self._drawn.boxes.insert(at, drawn)
        return bottom + _GAP

    def _run(self, boxes: Sequence[Node], x: float, y: float, width: float) -> float:
        """One box for many, with a sliver for each."""
        worst = max((box.worst for box in boxes if box.worst is not None), key=lambda error: error.share, default=None)
        passed = all(box.passed for box in boxes)
        name = f"{boxes[0].name} to {boxes[-1].name}"
        most = "" if worst is None else f", at most {_amount(worst)}" if passed else f", up to {_amount(worst)}"
        more = f"{count(len(boxes), 'module')}, {'all within' if passed else 'outside behind it'}{most}"
        state = "within" if passed else "outside"
        height = _PAD + 40 + _CELL + _PAD
        room = int((width - 2 * _PAD) / _LETTER)
        title_y = y + _PAD + 14
        title = f"{name}: {more}"
        self._drawn.boxes.append(
            Box(x, y, width, height, _shortened(name, room), more, state, x + _PAD + 2, title_y, title_y + 17, title)
        )
        base, step = y + height - _PAD, (width - 2 * _PAD) / len(boxes)
        for position, box in enumerate(boxes):
            share = 0.0 if box.worst is None else length(box.worst.share)
            tall = max(share * _CELL, 1.0)
            self._drawn.slivers.append(
                Sliver(
                    x + _PAD + position * step,
                    base - tall,
                    max(step - 2, 0.8),
                    tall,
                    "within" if box.passed else "outside",
                    _box_title(box, ""),
                )
            )
        self._drawn.marks.append((x + _PAD, base - MARK * _CELL, width - 2 * _PAD))
        return y + height + _GAP


def _has_room_beside(width: float) -> bool:
    """Whether a box of this width has its name beside its layers."""
    return width >= 4 * _LEAST


def _name_of(layer: Node) -> str:
    """What a layer without a name of its own is called."""
    return layer.path or "the model itself"


def _amount(error: LayerError) -> str:
    if error.budget is None:
        return "no counterpart"
    if error.wrong_shape:
        return "another shape"
    return "NaN or infinite" if error.not_finite else budgets(error.share)


def _sentence(error: LayerError) -> str:
    allowed = "" if error.budget is None else f", allowed {number(error.budget.limit)}"
    wrong = error.wrong_shape or (f"{error.not_finite} values NaN or infinite" if error.not_finite else "")
    size = wrong or f"largest error {number(error.largest_error)}{allowed}"
    return f"{layer_name(error)} ({error.op}): {size}"


def _box_title(box: Node, more: str) -> str:
    worst = box.worst
    said = "not compared" if worst is None else f"at most {_amount(worst)} of the budget, in {layer_name(worst)}"
    return f"{box.path}: {said}{'; ' + more if more else ''}"


def _shortened(name: str, room: int) -> str:
    """The end of a name, which tells layers apart."""
    return name if len(name) <= room else f"…{name[1 - room :]}"


def _summary(bisection: Bisection) -> str:
    outside = sum(not layer.passed for layer in bisection.layers)
    text = f"The model's layers in the order in which they run; {len(bisection.layers)} tensors were compared."
    if bisection.guilty is None:
        return f"{text} All are within their budgets."
    return f"{text} {outside} are outside their budgets, first {layer_name(bisection.guilty)}."
