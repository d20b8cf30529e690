"""What one head does, averaged over rows and samples, and a rule of ours that names its regime."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from attnexport.analysis.layers import AttentionCall
from attnexport.errors import shortlist
from attnexport.messages import option
from attnexport.variants.geometry import Separation, geometry_of_weights

LOCAL_TOKENS = 8
"""A weight counts as local when its key is nearer to the row than this."""


@dataclass(frozen=True)
class Figures:
    """Separation figures of one head, averaged over the rows where they are defined."""

    precision: float
    recall: float
    f_score: float
    margin: float


@dataclass(frozen=True)
class HeadReport:
    """One head of one layer.

    Attributes:
        layer, operator, head: which one.
        selected, random: per selection size n, the figures of the attention's own and of random selections.
        sink: mean weight on the key that gets most weight from all rows.
        local: mean weight on keys nearer than LOCAL_TOKENS to the row.
        entropy: entropy of the weights over the logarithm of the keys seen, 0 to 1; rows that see one key are left out.
        output: norm of the head's output over the median of the layer's heads.
        regime: Retriever, Mixer, Reset or unclassified, by :func:`regime_of`.
    """

    layer: str
    operator: str
    head: int
    selected: dict[int, Figures]
    random: dict[int, Figures]
    sink: float
    local: float
    entropy: float
    output: float
    regime: str


@dataclass(frozen=True)
class RegimeRule:
    """Thresholds of the regime rule. The rule and its numbers are ours, not the paper's, which gives none.

    Attributes:
        sink: a Reset head puts at least this much weight on the sink.
        output: and its output is at most this share of the layer's median.
        f_score: a Retriever reaches this F for some n of 2 to 4; Euclidean n = 1 is 1 for any head.
        entropy: with at most this normalised entropy; a Mixer lies above it.
        slack: a head this close to a deciding threshold is unclassified.
    """

    sink: float = 0.4
    output: float = 0.8
    f_score: float = 0.6
    entropy: float = 0.6
    slack: float = 0.05


def regime_of(sink: float, output: float, f_score: float, entropy: float, rule: RegimeRule) -> str:
    """Names a head's regime.

    Reset: much weight on the sink and a small output. Retriever: not Reset, separable at a small n and low entropy.
    Mixer: not Reset and high entropy. Anything else, and anything within the slack of a deciding threshold, is
    unclassified.
    """
    reset = min(sink - rule.sink, rule.output - output)
    if abs(reset) < rule.slack:
        return "unclassified"
    if reset > 0:
        return "Reset"
    retriever = min(f_score - rule.f_score, rule.entropy - entropy)
    if retriever > rule.slack:
        return "Retriever"
    return "Mixer" if entropy - rule.entropy > rule.slack else "unclassified"


@dataclass
class _Mean:
    total: Tensor | float = 0.0
    count: Tensor | float = 0.0

    def add(self, values: Tensor) -> None:
        """Takes in (B, H, N), NaN where undefined; keeps sums per head."""
        defined = ~values.isnan()
        self.total = self.total + values.nan_to_num(0.0).double().sum(dim=(0, 2))
        self.count = self.count + defined.double().sum(dim=(0, 2))

    def of(self, head: int) -> float:
        """Mean of one head, NaN when nothing was defined."""
        assert isinstance(self.total, Tensor)
        assert isinstance(self.count, Tensor)
        return float(self.total[head] / self.count[head]) if self.count[head] > 0 else math.nan


def _four_means() -> dict[str, _Mean]:
    return {name: _Mean() for name in ("precision", "recall", "f_score", "margin")}


def _figures(means: dict[str, _Mean], head: int) -> Figures:
    return Figures(**{name: mean.of(head) for name, mean in means.items()})


@dataclass
class _Layer:
    operator: str
    heads: int
    selected: dict[int, dict[str, _Mean]] = field(default_factory=dict)
    random: dict[int, dict[str, _Mean]] = field(default_factory=dict)
    features: dict[str, _Mean] = field(default_factory=dict)


class HeadStatistics:
    """Gathers head reports over the runs of a model.

    Args:
        sizes: selection sizes n.
        rows: how many query rows of each sample are measured, spread evenly, the last one included.
        distance: "euclidean" or "cosine".
        random_controls: random selections per row.
        rule: thresholds of the regime rule.
    """

    def __init__(
        self,
        sizes: Sequence[int] = (2, 4, 8),
        *,
        rows: int = 8,
        distance: str = "euclidean",
        random_controls: int = 16,
        rule: RegimeRule | None = None,
    ) -> None:
        self.sizes = tuple(sizes)
        self._rows, self._distance, self._controls = rows, distance, random_controls
        self._rule = rule or RegimeRule()
        self._layers: dict[str, _Layer] = {}
        self._keys: dict[str, int] = {}

    def add(self, call: AttentionCall) -> None:
        """Takes in one attention call."""
        layer = self._layers.setdefault(call.layer, _Layer(call.operator, call.weights.shape[1]))
        self._keys[call.layer] = max(self._keys.get(call.layer, 0), call.weights.shape[3])
        rows = torch.linspace(call.weights.shape[2] - 1, 0, min(self._rows, call.weights.shape[2]))
        chosen = rows.round().long().unique()
        weights = call.weights[:, :, chosen]
        visible = call.visible.expand(call.weights.shape)[:, :, chosen]
        for n in self.sizes:
            geometry = geometry_of_weights(
                weights, call.v, n, visible, distance=self._distance, random_controls=self._controls
            )
            _add(layer.selected.setdefault(n, _four_means()), geometry.selected)
            _add(layer.random.setdefault(n, _four_means()), geometry.random)
        for name, values in _features(call, weights, visible, chosen).items():
            layer.features.setdefault(name, _Mean()).add(values)

    def notes(self) -> tuple[str, ...]:
        """A sentence for each size that selects all keys that a layer has, in the order of the sizes."""
        whole = {n: [name for name, keys in self._keys.items() if keys <= n] for n in self.sizes}
        return tuple(
            f"{option('--n', n)} selects all keys of {shortlist(names)}, {max(self._keys[name] for name in names)} at "
            "most: its figures are not defined there"
            for n, names in whole.items()
            if names
        )

    def reports(self) -> list[HeadReport]:
        """One report a head, in the order of the layers."""
        found = []
        for name, layer in self._layers.items():
            norms = [layer.features["norm"].of(head) for head in range(layer.heads)]
            median = statistics.median(norms) or 1.0
            for head in range(layer.heads):
                selected = {n: _figures(layer.selected[n], head) for n in self.sizes}
                small = [selected[n].f_score for n in self.sizes if 1 < n <= 4]
                small = [f_score for f_score in small if not math.isnan(f_score)] or [math.nan]
                sink, local, entropy = (layer.features[feature].of(head) for feature in ("sink", "local", "entropy"))
                found.append(
                    HeadReport(
                        layer=name,
                        operator=layer.operator,
                        head=head,
                        selected=selected,
                        random={n: _figures(layer.random[n], head) for n in self.sizes},
                        sink=sink,
                        local=local,
                        entropy=entropy,
                        output=norms[head] / median,
                        regime=regime_of(sink, norms[head] / median, max(small), entropy, self._rule),
                    )
                )
        return found


def _add(means: dict[str, _Mean], separation: Separation) -> None:
    means["precision"].add(separation.precision)
    means["recall"].add(separation.recall)
    means["f_score"].add(separation.f_score)
    means["margin"].add(separation.margin)


def _features(call: AttentionCall, weights: Tensor, visible: Tensor, rows: Tensor) -> dict[str, Tensor]:
    """Sink, local weight, entropy and output norm of the measured rows, each (B, H, rows)."""
    mass = weights.clamp(min=0.0)
    mass = mass / mass.sum(-1, keepdim=True).clamp(min=1e-30)
    sink = call.weights.clamp(min=0.0).mean(dim=2).argmax(-1)
    on_sink = mass.gather(-1, sink[..., None, None].expand(-1, -1, mass.shape[2], 1)).squeeze(-1)
    positions = rows + call.weights.shape[3] - call.weights.shape[2]
    near = (positions[:, None] - torch.arange(mass.shape[3])).abs() < LOCAL_TOKENS
    keys = visible.sum(-1, dtype=mass.dtype)
    entropy = -(mass * mass.clamp(min=1e-30).log()).sum(-1) / keys.log()
    values = call.v.repeat_interleave(weights.shape[1] // call.v.shape[1], dim=1).to(weights.dtype)
    return {
        "sink": on_sink,
        "local": (mass * near).sum(-1),
        "entropy": entropy.masked_fill(keys < 2, torch.nan),
        "norm": (weights @ values).norm(dim=-1),
    }
