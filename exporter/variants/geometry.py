"""How separable the N most attended tokens are in value space.

The metrics are those of arXiv 2602.01893 as restated in arXiv 2609.37879 (Def. 1 and App. A.2). They describe a
selection; they do not say that a head may be pruned: the follow-up study found higher F going with more loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attnexport.variants.checks import check_heads
from attnexport.variants.rows import Rows

DISTANCES = ("euclidean", "cosine")
COSINE_ETA = 1e-12


@dataclass(frozen=True)
class Separation:
    """Precision, recall, F-score and margin of a selection, each (B, H, N).

    Rows with no unselected visible key have nothing to be separated from and hold NaN.
    """

    precision: Tensor
    recall: Tensor
    f_score: Tensor
    margin: Tensor


@dataclass(frozen=True)
class AttentionGeometry:
    """Separation of the n most attended keys, and of random selections of the same size.

    Attributes:
        n: size of the selection.
        selected: separation of the attention's own selection.
        random: the same figures averaged over the random selections, each around its own centre. Euclidean
            n = 1 is 1 for any selection, so that only the difference to these says something.
    """

    n: int
    selected: Separation
    random: Separation


def _distances(contributions: Tensor, centre: Tensor, distance: str) -> Tensor:
    """(..., M, Dv) and (..., Dv) to (..., M)."""
    if distance == "euclidean":
        away: Tensor = torch.linalg.vector_norm(contributions - centre[..., None, :], dim=-1)
        return away
    dot = (contributions * centre[..., None, :]).sum(-1)
    norms = torch.linalg.vector_norm(contributions, dim=-1) * torch.linalg.vector_norm(centre, dim=-1)[..., None]
    cosine: Tensor = dot / (norms + COSINE_ETA)
    return 1.0 - cosine


def _separation(contributions: Tensor, selected: Tensor, visible: Tensor, distance: str) -> Separation:
    """Contributions y (B, H, M, Dv) of one row, boolean selected and visible (B, H, M), figures (B, H)."""
    dtype = contributions.dtype
    size = selected.sum(-1, dtype=dtype)
    others = visible & ~selected
    centre = (contributions * selected[..., None]).sum(-2)
    away = _distances(contributions, centre, distance)
    inner = away.masked_fill(~others, torch.inf).amin(-1)
    outer = away.masked_fill(~selected, -torch.inf).amax(-1)
    intruders = (others & (away <= outer[..., None])).sum(-1, dtype=dtype)
    inside = (selected & (away < inner[..., None])).sum(-1, dtype=dtype)
    precision = size / (size + intruders)
    recall = inside / size.clamp(min=1)
    total = precision + recall
    f_score = torch.where(total > 0, 2 * precision * recall / total.clamp(min=1e-300), 0.0)
    undefined = ~(others.any(-1) & (size > 0))
    return Separation(
        *(figure.masked_fill(undefined, torch.nan) for figure in (precision, recall, f_score, inner - outer))
    )


def _top(ranking: Tensor, n: int, visible: Tensor) -> Tensor:
    """Boolean (B, H, M): the n largest of the visible, ties going to the lower index."""
    order = ranking.masked_fill(~visible, -torch.inf).argsort(dim=-1, descending=True, stable=True)
    chosen = torch.zeros_like(visible)
    chosen.scatter_(-1, order[..., :n], True)
    return chosen & visible


def _joined(separations: Sequence[Separation], join: Callable[[Sequence[Tensor]], Tensor]) -> Separation:
    """Every figure of them all, joined."""
    return Separation(*(join(figures) for figures in zip(*(vars(each).values() for each in separations), strict=True)))


def _mean(separations: Sequence[Separation]) -> Separation:
    return _joined(separations, lambda figures: torch.stack(list(figures)).mean(0))


def _rows(separations: Sequence[Separation]) -> Separation:
    return _joined(separations, lambda figures: torch.stack(list(figures), dim=-1))


def geometry_of_weights(
    weights: Tensor,
    v: Tensor,
    n: int,
    visible: Tensor,
    *,
    distance: str = "euclidean",
    random_controls: int = 16,
    seed: int = 0,
) -> AttentionGeometry:
    """Separation of the n largest weights of every row.

    Args:
        weights: attention weights (B, H, N, M), any variant's.
        v: values (B, Hkv, M, Dv).
        n: size of the selection, >= 1.
        visible: boolean, broadcastable to weights: the keys that a row sees.
        distance, random_controls, seed: as in :func:`attention_geometry`.
    """
    generator = torch.Generator().manual_seed(seed)
    values = v.repeat_interleave(weights.shape[1] // v.shape[1], dim=1).to(weights.dtype)
    visible = visible.expand(weights.shape)
    found, random = [], []
    for row in range(weights.shape[2]):
        seen, row_weights = visible[:, :, row], weights[:, :, row]
        contributions = row_weights[..., None] * values
        found.append(_separation(contributions, _top(row_weights, n, seen), seen, distance))
        controls = []
        for _ in range(random_controls):
            ranking = torch.rand(row_weights.shape, generator=generator, dtype=weights.dtype)
            chosen = _top(ranking.to(weights.device), n, seen)
            controls.append(_separation(contributions, chosen, seen, distance))
        random.append(_mean(controls) if controls else found[-1])
    return AttentionGeometry(n=n, selected=_rows(found), random=_rows(random))


def attention_geometry(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    n: int,
    *,
    distance: str = "euclidean",
    causal: bool = False,
    random_controls: int = 16,
    seed: int = 0,
) -> AttentionGeometry:
    """Reads how separable the n most attended keys of softmax attention are in value space, changing nothing.

    For one row with weights a and contributions y_j = a_j v_j, S the n largest weights, s = sum over S of y_j and
    D_j = distance(y_j, s):

        rho_min = min over j not in S of D_j        rho_max = max over j in S of D_j
        margin  = rho_min - rho_max
        precision = n / (n + #{j not in S: D_j <= rho_max})      recall = #{j in S: D_j < rho_min} / n
        F = their harmonic mean

    Args:
        q: queries (B, H, N, Dk), floating; scores are scaled by Dk ** -0.5.
        k: keys (B, Hkv, M, Dk).
        v: values (B, Hkv, M, Dv).
        n: size of the selection, 1 <= n < M.
        distance: "euclidean" or "cosine". Default: "euclidean".
        causal: row i sees keys up to i + M - N. Default: False.
        random_controls: random selections of the same size to compare with. Default: 16.
        seed: of the random selections. Default: 0.

    Returns:
        Figures per row (B, H, N), computed in float32 at least; NaN for rows that see at most n keys.

    Raises:
        ValueError: shapes or options that do not fit, naming the argument.
    """
    check_heads("q", q, "k", k, v)
    if not 1 <= n < k.shape[2]:
        raise ValueError(f"n: expected 1 <= n < M={k.shape[2]}, given {n}")
    if distance not in DISTANCES:
        raise ValueError(f"distance: expected one of {', '.join(DISTANCES)}, given {distance!r}")
    with torch.no_grad():
        rows = Rows.of(q, k, v, causal, scale=q.shape[-1] ** -0.5)
        return geometry_of_weights(
            rows.dense(), v, n, rows.seen(), distance=distance, random_controls=random_controls, seed=seed
        )
