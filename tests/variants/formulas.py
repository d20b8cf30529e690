"""The operators of the specification as slow float64 loops, sharing no code with the package."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Row = dict[int, float]


@dataclass(frozen=True)
class Visibility:
    """Which keys a row sees, as the specification's predicate."""

    rows: int
    keys: int
    causal: bool = False
    kv_lengths: Tensor | None = None
    q_start: Tensor | None = None
    kv_start: Tensor | None = None

    def position(self, b: int, i: int) -> int:
        """p_i = s_b + i."""
        start = self.keys - self.rows if self.q_start is None else int(self.q_start[b])
        return start + i

    def first(self, b: int) -> int:
        return 0 if self.kv_start is None else max(0, int(self.kv_start[b]))

    def sees(self, b: int, i: int, j: int) -> bool:
        length = self.keys if self.kv_lengths is None else int(self.kv_lengths[b])
        return self.first(b) <= j < length and (not self.causal or j <= self.position(b, i))

    def seen(self, b: int, i: int) -> list[int]:
        """Visible keys of row i, ascending."""
        return [j for j in range(self.keys) if self.sees(b, i, j)]


@dataclass(frozen=True)
class Bias:
    """A score bias by its four numbers, broadcast; none is zero everywhere."""

    values: Tensor | None

    def at(self, b: int, h: int, i: int, j: int) -> float:
        if self.values is None:
            return 0.0
        place = [n if size > 1 else 0 for n, size in zip((b, h, i, j), self.values.shape, strict=True)]
        return float(self.values[tuple(place)])

    def shown(self, b: int, h: int, i: int, keys: Sequence[int]) -> list[int]:
        """The keys that it does not hide."""
        return [j for j in keys if not self.at(b, h, i, j) <= -30000]


def dot(x: Sequence[float], y: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(x, y, strict=True))


def squared_distance(x: Sequence[float], y: Sequence[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(x, y, strict=True))


def nested(tensor: Tensor) -> Any:
    """The tensor as nested lists of Python floats."""
    return tensor.detach().double().tolist()


def largest(weights: Row, count: int | None) -> Row:
    """The count largest weights, ties going to the lower index."""
    order = sorted(weights, key=lambda j: (-weights[j], j))
    return {j: weights[j] for j in order[:count]}


def weighted_values(heads: int, rows: int, v: Tensor, row: Callable[[int, int, int, int], Row]) -> Tensor:
    """Sum of row(b, h, g, i)[j] * v[b, g, j] over j, with g the key/value head of h."""
    batch, kv_heads, _, width = v.shape
    values = nested(v)
    out = torch.zeros(batch, heads, rows, width, dtype=torch.float64)
    for b in range(batch):
        for h in range(heads):
            g = h // (heads // kv_heads)
            for i in range(rows):
                total = [0.0] * width
                for j, weight in row(b, h, g, i).items():
                    total = [t + weight * x for t, x in zip(total, values[b][g][j], strict=True)]
                out[b, h, i] = torch.tensor(total, dtype=torch.float64)
    return out


def near_on_grid(grid: Any, i: int, j: int) -> bool:
    """Whether token i attends to token j: one of them is global, or both are cells within the radius."""
    if i < grid.prefix or j < grid.prefix:
        return True
    row_i, column_i = divmod(i - grid.prefix, grid.width)
    row_j, column_j = divmod(j - grid.prefix, grid.width)
    down, right = abs(row_i - row_j), abs(column_i - column_j)
    return (max(down, right) if grid.metric == "chebyshev" else down + right) <= grid.radius


def krause(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    sigma: Tensor,
    *,
    window: int | None = None,
    prefix: int = 0,
    grid: Any = None,
    top_k: int | None = None,
    bias: Tensor | None = None,
    **visibility: Any,
) -> Tensor:
    rule, added = Visibility(q.shape[2], k.shape[2], **visibility), Bias(bias)
    queries, keys = nested(q), nested(k)
    sigmas = nested(sigma.reshape(-1).expand(q.shape[1]))

    def row(b: int, h: int, g: int, i: int) -> Row:
        neighbours = [
            j
            for j in added.shown(b, h, i, rule.seen(b, i))
            if (window is None or abs(rule.position(b, i) - j) < window or j < rule.first(b) + prefix)
            and (grid is None or near_on_grid(grid, i, j))
        ]
        exponents = {
            j: -squared_distance(queries[b][h][i], keys[b][g][j]) / (2 * sigmas[h] ** 2) + added.at(b, h, i, j)
            for j in neighbours
        }
        kept = largest(exponents, top_k)
        if not kept:
            return {}
        strength = {j: math.exp(kept[j] - max(kept.values())) for j in kept}
        total = sum(strength.values())
        return {j: strength[j] / total for j in strength}

    return weighted_values(q.shape[1], q.shape[2], v, row)


def hla(
    query_factors: Sequence[Tensor],
    key_factors: Sequence[Tensor],
    v: Tensor,
    *,
    eps: float = 1e-6,
    **visibility: Any,
) -> Tensor:
    heads, rows = query_factors[0].shape[1:3]
    rule = Visibility(rows, v.shape[2], **visibility)
    queries = [nested(factor) for factor in query_factors]
    keys = [nested(factor) for factor in key_factors]

    def row(b: int, h: int, g: int, i: int) -> Row:
        product = {
            j: math.prod(dot(qf[b][h][i], kf[b][g][j]) for qf, kf in zip(queries, keys, strict=True))
            for j in rule.seen(b, i)
        }
        total = sum(product.values()) + eps
        return {j: product[j] / total for j in product}

    return weighted_values(heads, rows, v, row)


def order_parameter(phases: Sequence[Sequence[float]]) -> float:
    """r of the visible keys' phases: mean over l of |mean over j of exp(i theta_j[l])|."""
    width = len(phases[0])
    means = [sum(cmath.exp(1j * phase[axis]) for phase in phases) / len(phases) for axis in range(width)]
    return sum(abs(mean) for mean in means) / width


def synchronization(distance_squared: float, alpha: float, reach: float) -> float:
    """S as the paper writes it: J cos(arcsin(Delta / tau)) while Delta <= tau = reach J; reach is K r."""
    strength = math.exp(-alpha * distance_squared)
    difference, tau = math.sqrt(distance_squared), reach * strength
    if difference > tau:
        return 0.0
    return strength * math.cos(math.asin(difference / tau)) if difference else strength


def ssa(
    omega_q: Tensor,
    omega_k: Tensor,
    theta: Tensor,
    v: Tensor,
    coupling: Tensor,
    alpha: Tensor,
    *,
    top_k: int | None = None,
    eps: float = 1e-8,
    bias: Tensor | None = None,
    **visibility: Any,
) -> Tensor:
    rule, added = Visibility(omega_q.shape[2], omega_k.shape[2], **visibility), Bias(bias)
    queries, keys, phases, decay = nested(omega_q), nested(omega_k), nested(theta), nested(alpha)
    reach: dict[tuple[int, int, tuple[int, ...]], float] = {}

    def row(b: int, h: int, g: int, i: int) -> Row:
        seen = added.shown(b, h, i, rule.seen(b, i))
        if not seen:
            return {}
        place = (b, g, tuple(seen))
        if place not in reach:
            reach[place] = nested(coupling) * order_parameter([phases[b][g][j] for j in seen])
        strength = {
            j: synchronization(squared_distance(queries[b][h][i], keys[b][g][j]), decay[h], reach[place]) for j in seen
        }
        kept = largest(strength, top_k)
        total = sum(kept.values()) + eps
        return {j: kept[j] / total for j in kept}

    return weighted_values(omega_q.shape[1], omega_q.shape[2], v, row)


def softmax(scores: Row) -> Row:
    peak = max(scores.values(), default=0.0)
    powers = {j: math.exp(scores[j] - peak) for j in scores}
    total = sum(powers.values())
    return {j: powers[j] / total for j in powers}


def affine(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    alpha: Tensor,
    beta: Tensor,
    *,
    scale: float | None = None,
    bias: Tensor | None = None,
    **visibility: Any,
) -> Tensor:
    rule, added = Visibility(q.shape[2], k.shape[2], **visibility), Bias(bias)
    factor = 1.0 / math.sqrt(q.shape[3]) if scale is None else scale
    queries, keys, a, c = nested(q), nested(k), nested(alpha), nested(beta)

    def row(b: int, h: int, g: int, i: int) -> Row:
        shown = added.shown(b, h, i, rule.seen(b, i))
        weights = softmax({j: factor * dot(queries[b][h][i], keys[b][g][j]) + added.at(b, h, i, j) for j in shown})
        return {j: a[b][h][i] * weights[j] + c[b][h][i] for j in weights}

    return weighted_values(q.shape[1], q.shape[2], v, row)


def top_n(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    n: int,
    *,
    scale: float | None = None,
    renormalize: bool = True,
    bias: Tensor | None = None,
    **visibility: Any,
) -> Tensor:
    rule, added = Visibility(q.shape[2], k.shape[2], **visibility), Bias(bias)
    factor = 1.0 / math.sqrt(q.shape[3]) if scale is None else scale
    queries, keys = nested(q), nested(k)

    def row(b: int, h: int, g: int, i: int) -> Row:
        shown = added.shown(b, h, i, rule.seen(b, i))
        weights = softmax({j: factor * dot(queries[b][h][i], keys[b][g][j]) + added.at(b, h, i, j) for j in shown})
        kept = largest(weights, n)
        total = sum(kept.values()) if renormalize else 1.0
        return {j: kept[j] / total for j in kept}

    return weighted_values(q.shape[1], q.shape[2], v, row)
