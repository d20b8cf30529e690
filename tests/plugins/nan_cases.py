"""Calls with a NaN in one input, which hold a kernel to the rows that the reference makes NaN."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnexport.plugins.calling.operators import Op
from tests.plugins.kernel_cases import Arguments, Case, Sizes, make_arguments, run_kernel, truth, wide

_QUERIES = ("q", "omega_q", "query_factors")
_KEYS = ("k", "omega_k", "theta", "key_factors")


@dataclass(frozen=True)
class NanCase:
    """A case with a NaN in an input's sample 0 and head 0, in the last column of a token."""

    case: Case
    name: str
    token: int

    def __str__(self) -> str:
        return f"{self.case}-nan-{self.name}{self.token}"

    def break_input(self, arguments: Arguments) -> None:
        """Puts the NaN there."""
        value = arguments[self.name]
        tensor = value[-1] if isinstance(value, list) else value
        tensor[0, 0, self.token, -1] = float("nan")


def nan_cases() -> Iterator[NanCase]:
    """Every operator with and without a selection: many rows and few, whole keys and split ones."""
    for op_type, options in (
        ("AffineScaledAttention", {}),
        ("KrauseAttention", {}),
        ("KrauseAttention", {"window": 50}),
        ("KrauseAttention", {"top_k": 8}),
        ("KrauseAttention", {"window": 50, "top_k": 8}),
        ("SelectiveSynchronizationAttention", {}),
        ("SelectiveSynchronizationAttention", {"top_k": 8}),
        ("TopNAttention", {"n": 8}),
        ("TopNAttention", {"n": 8, "renormalize": False}),
        ("TopNAttention", {"n": 5000}),
        ("HadamardLinearAttention", {"features": (16, 16)}),
    ):
        for sizes in (
            Sizes(heads=2, kv_heads=1, rows=70, keys=200, width=64, value_width=64, causal=True, batch=1),
            Sizes(heads=2, kv_heads=2, rows=130, keys=150, width=64, value_width=64, kv_lengths=(150, 90)),
            Sizes(heads=3, kv_heads=1, rows=1, keys=700, width=64, value_width=64, batch=1),
        ):
            case = Case(op_type, sizes, options)
            inputs = make_arguments(case, torch.float32)
            for name in (*_QUERIES, *_KEYS, "v"):
                if name in inputs:
                    yield NanCase(case, name, sizes.rows // 2 if name in _QUERIES else sizes.keys - 40)


def is_selection(case: Case) -> bool:
    """Whether rows keep some of their keys."""
    kept = case.options.get("n", case.options.get("top_k", 0))
    return 0 < kept < case.sizes.keys


def _weighed(broken: NanCase, arguments: Arguments) -> Tensor:
    """Rows (B, H, N) that weigh the broken value, not next to nothing."""
    weights = broken.case.variant.weights(**wide(arguments))[..., broken.token]
    others = (
        torch.arange(weights.shape[1], device=weights.device) >= broken.case.sizes.heads // broken.case.sizes.kv_heads
    )
    weights[:, others] = 0.0
    weights[1:] = 0.0
    return weights > 1e-3


def nan_fault(broken: NanCase, op: Op, dtype: torch.dtype, device: str = "cpu") -> str | None:
    """What is wrong with the kernel's result; None where nothing is.

    A NaN query or key makes NaN the rows that the reference makes NaN. A NaN value makes its column NaN in the rows
    that weigh it, and may in others. Everything else is within the error budget.
    """
    arguments: dict[str, Any] = make_arguments(broken.case, dtype, device)
    held = truth(broken.case, dtype, arguments)
    weighed = _weighed(broken, arguments) if broken.name == "v" else None
    broken.break_input(arguments)
    out = run_kernel(op, arguments)
    nan = out.isnan()
    if weighed is None:
        expected = broken.case.variant.reference(**wide(arguments)).isnan()
        if not torch.equal(nan, expected):
            more, fewer = (nan & ~expected).any(-1).sum(), (expected & ~nan).any(-1).sum()
            return f"{more} rows are NaN and should not be, {fewer} are not and should be"
    else:
        if not nan[..., -1][weighed].all():
            return f"{(weighed & ~nan[..., -1]).sum()} of {weighed.sum()} rows that weigh the value are not NaN"
        if nan[..., :-1].any():
            return "columns are NaN that should not be"
    outcome = held.hold(torch.where(nan, held.exact, out.double()))
    return None if outcome.good else f"error {outcome.error:.3g} beside the NaN, allowed {outcome.allowed:.3g}"
