"""Calls that hold the kernels to the float64 reference: the list that the CPU build and a GPU are both put through."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from attnexport.accuracy.check.budget import Budget, relative_floor
from attnexport.plugins.calling.operators import Op
from attnexport.plugins.calling.torch_calls import run_op
from attnexport.variants.registry import all_variants
from attnexport.variants.spec import Variant
from tests.variants.cases import cases_of

FLOAT_TYPES = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Sizes:
    """Sizes of a call, and the lengths and starts of its two samples."""

    heads: int = 4
    kv_heads: int = 2
    rows: int = 16
    keys: int = 16
    width: int = 16
    value_width: int = 16
    batch: int = 2
    causal: bool = False
    kv_lengths: tuple[int, ...] | None = None
    q_start: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Case:
    """One call of one operator."""

    op_type: str
    sizes: Sizes
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        s = self.sizes
        text = f"{self.op_type.removesuffix('Attention')}-B{s.batch}H{s.heads}/{s.kv_heads}N{s.rows}M{s.keys}"
        text += f"D{s.width}/{s.value_width}" + ("-causal" if s.causal else "")
        text += "" if s.kv_lengths is None else f"-L{s.kv_lengths}"
        text += "" if s.q_start is None else f"-S{s.q_start}"
        return text + "".join(f"-{key}={value}" for key, value in self.options.items())

    @property
    def variant(self) -> Variant:
        """The variant whose operator this is."""
        return next(variant for variant in all_variants() if variant.op_type == self.op_type)


Arguments = dict[str, Any]


def _normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _krause(s: Sizes, options: Mapping[str, Any]) -> Arguments:
    grid = {"grid_height": 0, "grid_width": 0, "grid_radius": 0, "grid_metric": "chebyshev", "grid_prefix": 0}
    tensors = {
        "q": _normal(1, s.batch, s.heads, s.rows, s.width),
        "k": _normal(2, s.batch, s.kv_heads, s.keys, s.width),
        "v": _normal(3, s.batch, s.kv_heads, s.keys, s.value_width),
        "sigma": torch.linspace(1.5, 3.0, s.heads, dtype=torch.float64),
    }
    return {**tensors, "window": 0, "top_k": 0, **grid, **options}


def _affine(s: Sizes, options: Mapping[str, Any]) -> Arguments:
    return {
        "q": _normal(1, s.batch, s.heads, s.rows, s.width),
        "k": _normal(2, s.batch, s.kv_heads, s.keys, s.width),
        "v": _normal(3, s.batch, s.kv_heads, s.keys, s.value_width),
        "alpha": _normal(4, s.batch, s.heads, s.rows).sigmoid(),
        "beta": _normal(5, s.batch, s.heads, s.rows) / 50,
        "scale": s.width**-0.5,
        **options,
    }


def _ssa(s: Sizes, options: Mapping[str, Any]) -> Arguments:
    return {
        "omega_q": 0.5 * s.width**-0.5 * _normal(1, s.batch, s.heads, s.rows, s.width),
        "omega_k": 0.5 * s.width**-0.5 * _normal(2, s.batch, s.kv_heads, s.keys, s.width),
        "theta": 0.4 * _normal(6, s.batch, s.kv_heads, s.keys, s.width),
        "v": _normal(3, s.batch, s.kv_heads, s.keys, s.value_width),
        "coupling": torch.tensor(8.0, dtype=torch.float64),
        "alpha": torch.linspace(0.3, 0.6, s.heads, dtype=torch.float64),
        "top_k": 0,
        "eps": 1e-8,
        **options,
    }


def _topn(s: Sizes, options: Mapping[str, Any]) -> Arguments:
    return {
        "q": _normal(1, s.batch, s.heads, s.rows, s.width),
        "k": _normal(2, s.batch, s.kv_heads, s.keys, s.width),
        "v": _normal(3, s.batch, s.kv_heads, s.keys, s.value_width),
        "n": 4,
        "scale": s.width**-0.5,
        "renormalize": True,
        **options,
    }


def _hla(s: Sizes, options: Mapping[str, Any]) -> Arguments:
    features = options.get("features", (s.width, s.width))
    magnitude = options.get("magnitude", 1.0)

    def factors(seed: int, heads: int, tokens: int) -> list[Tensor]:
        drawn = (_normal(seed + r, s.batch, heads, tokens, m) for r, m in enumerate(features))
        return [magnitude * x.exp() * x.shape[-1] ** -0.5 for x in drawn]

    return {
        "query_factors": factors(10, s.heads, s.rows),
        "key_factors": factors(20, s.kv_heads, s.keys),
        "v": _normal(3, s.batch, s.kv_heads, s.keys, s.value_width),
        "eps": 1e-6,
    }


_MAKERS: dict[str, Callable[[Sizes, Mapping[str, Any]], Arguments]] = {
    "KrauseAttention": _krause,
    "AffineScaledAttention": _affine,
    "SelectiveSynchronizationAttention": _ssa,
    "TopNAttention": _topn,
    "HadamardLinearAttention": _hla,
}
OP_TYPES = tuple(dict.fromkeys([*_MAKERS, *(variant.op_type for variant in all_variants())]))


def _plain(case: Case) -> Arguments:
    """Of an operator that takes queries, keys and values alone and has a default for everything else."""
    s = case.sizes
    tensors = {
        "q": _normal(1, s.batch, s.heads, s.rows, s.width),
        "k": _normal(2, s.batch, s.kv_heads, s.keys, s.width),
        "v": _normal(3, s.batch, s.kv_heads, s.keys, s.value_width),
    }
    (plain,) = cases_of(case.variant)
    return {**case.variant.bind(plain.raw_arguments(tensors), {}), **case.options}


_KEY_TENSORS = ("k", "v", "omega_k", "theta")


def _map_tensors(change: Callable[[Tensor], Tensor], arguments: Arguments) -> Arguments:
    def mapped(value: Any) -> Any:
        if isinstance(value, list):
            return [mapped(item) for item in value]
        return change(value) if isinstance(value, Tensor) else value

    return {name: mapped(value) for name, value in arguments.items()}


def make_arguments(case: Case, dtype: torch.dtype, device: str = "cpu") -> Arguments:
    """The reference's arguments by name, rounded to dtype; keys beyond a sample's length hold NaN."""
    s = case.sizes
    drawn = _MAKERS[case.op_type](s, case.options) if case.op_type in _MAKERS else _plain(case)
    arguments = _map_tensors(lambda tensor: tensor.to(device, dtype), drawn)
    for sample, length in enumerate(s.kv_lengths or ()):
        for name in _KEY_TENSORS:
            if name in arguments:
                arguments[name][sample, :, max(length, 0) :] = float("nan")
        for factor in arguments.get("key_factors", ()):
            factor[sample, :, max(length, 0) :] = float("nan")

    def lengths(values: tuple[int, ...] | None) -> Tensor | None:
        return None if values is None else torch.tensor(values, dtype=torch.int32, device=device)

    return {**arguments, "causal": s.causal, "kv_lengths": lengths(s.kv_lengths), "q_start": lengths(s.q_start)}


def run_kernel(op: Op, arguments: Arguments) -> Tensor:
    """The kernel's result, its output and workspace filled with NaN before."""
    attributes = {name: value for name, value in arguments.items() if isinstance(value, (int, float, str))}
    tensors = {name: value for name, value in arguments.items() if name not in attributes}
    first = next(iter(tensors.values()))
    query = first[0] if isinstance(first, list) else first
    out = torch.full((*query.shape[:3], tensors["v"].shape[3]), float("nan"), dtype=query.dtype, device=query.device)
    size = 1 << 20
    while True:
        poisoned = torch.full((size,), 255, dtype=torch.uint8, device=query.device)
        try:
            return run_op(op, tensors, attributes, output=out, workspace=poisoned)
        except Exception as error:
            if "workspace" not in str(error) or size > 1 << 34:
                raise
            size *= 8


@dataclass(frozen=True)
class Outcome:
    """How far a kernel's result is from the float64 reference, and how far it may be."""

    error: float
    allowed: float

    @property
    def good(self) -> bool:
        """Within the error budget; false for NaN."""
        return self.error <= self.allowed


@dataclass(frozen=True)
class Truth:
    """What a kernel's result is held to.

    Attributes:
        exact: the float64 reference (B, H, N, Dv).
        allowed: what the error budget allows.
        other: the reference with the last selected and the first unselected key of a row exchanged, in rows where
            these differ by less than float32 resolves; elsewhere the same as exact.
    """

    exact: Tensor
    allowed: float
    other: Tensor

    def hold(self, out: Tensor) -> Outcome:
        """Compares a result with the reference; a row may follow either selection, but one of them."""
        if out.numel() == 0:
            return Outcome(0.0, self.allowed)
        errors = [(out.double() - expected).abs().amax(-1) for expected in (self.exact, self.other)]
        return Outcome(torch.minimum(*errors).max().item(), self.allowed)


def wide(arguments: Arguments) -> Arguments:
    """The same arguments in float64."""
    return _map_tensors(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor, arguments)


def _with_exchanged_keys(case: Case, arguments: Arguments, exact: Tensor) -> Tensor:
    """Truth.other: from dense weights, of which float64 says whether a row's selection is a close call."""
    name = case.variant.selection
    kept = arguments[name] if name is not None else 0
    if name is None or not 0 < kept < case.sizes.keys:
        return exact
    precise = wide(arguments)
    with torch.no_grad():
        weights = case.variant.weights(**{**precise, name: case.sizes.keys})
    largest, index = weights.topk(kept + 1, dim=-1)
    last, next_one = largest[..., -2], largest[..., -1]
    close = (last > 0) & (last != next_one) & (last - next_one < 3e-5 * last)
    if not close.any():
        return exact
    chosen = torch.zeros_like(weights).scatter_(-1, index, 1.0).scatter_(-1, index[..., -2:-1], 0.0)
    exchanged = weights * chosen
    if arguments.get("renormalize", True):
        exchanged = exchanged / exchanged.sum(-1, keepdim=True)
    values = precise["v"].nan_to_num(0.0).repeat_interleave(case.sizes.heads // case.sizes.kv_heads, dim=1)
    return torch.where(close[..., None], exchanged @ values, exact)


def truth(case: Case, dtype: torch.dtype, arguments: Arguments) -> Truth:
    """The float64 reference of a call and the error that the budget allows."""
    reference = case.variant.reference
    with torch.no_grad():
        exact, plain = reference(**wide(arguments)), reference(**arguments)
    if exact.numel() == 0:
        return Truth(exact, 0.0, exact)
    other = _with_exchanged_keys(case, arguments, exact)
    own = Truth(exact, 0.0, other).hold(plain).error
    floor = relative_floor([case.variant], dtype) * exact.abs().max().item()
    return Truth(exact, Budget(own, floor).limit, other)


def hold_to_reference(case: Case, op: Op, dtype: torch.dtype, device: str = "cpu") -> Outcome:
    """Runs a kernel and compares it with the float64 reference."""
    arguments = make_arguments(case, dtype, device)
    return truth(case, dtype, arguments).hold(run_kernel(op, arguments))


ODD_SIZES = ((1, 1), (7, 63), (63, 7), (127, 150), (150, 127), (1, 700), (3, 130), (40, 600))


def _shapes(pairs: tuple[tuple[int, int], ...]) -> Iterator[Sizes]:
    for rows, keys in pairs:
        for causal in (False, True):
            yield Sizes(rows=rows, keys=keys, width=64, value_width=64, causal=causal)
            yield Sizes(heads=2, kv_heads=2, rows=rows, keys=keys, width=40, value_width=72, causal=causal)
            lengths, starts = (keys, keys // 3), (0, keys // 2)
            yield Sizes(kv_heads=1, rows=rows, keys=keys, width=16, value_width=24, causal=causal,
                        kv_lengths=lengths, q_start=starts)  # fmt: skip
            yield Sizes(rows=rows, keys=keys, width=12, value_width=20, causal=causal, kv_lengths=(0, keys))
    yield Sizes(batch=0, rows=5, keys=5)
    yield Sizes(rows=0, keys=5)
    yield Sizes(rows=5, keys=0, causal=True)
    yield Sizes(rows=5, keys=0)


def _options(op_type: str, sizes: Sizes) -> Iterator[dict[str, Any]]:
    keys = sizes.keys
    if op_type == "KrauseAttention":
        yield from ({}, {"window": 5}, {"window": 64}, {"top_k": 3}, {"window": 40, "top_k": 8}, {"top_k": keys + 1})
    elif op_type == "SelectiveSynchronizationAttention":
        yield from ({}, {"top_k": 3})
    elif op_type == "TopNAttention":
        yield from ({"n": 1}, {"n": 6}, {"n": 20, "renormalize": False}, {"n": max(keys - 1, 1)}, {"n": keys + 1})
    elif op_type == "AffineScaledAttention":
        yield from ({}, {"scale": -0.7}, {"scale": 0.0})
    elif op_type == "HadamardLinearAttention":
        yield from ({"features": m} for m in ((16,), (8, 24), (16, 8, 8), (5, 7)))
    else:
        yield {}


def _grids() -> Iterator[Case]:
    for height, width, radius, prefix in ((4, 4, 1, 1), (9, 13, 2, 0), (3, 40, 1, 3), (14, 14, 0, 1), (12, 12, 20, 1)):
        tokens = height * width + prefix
        for metric, top_k, causal in itertools.product(("chebyshev", "manhattan"), (0, 4), (False, True)):
            grid = {"grid_height": height, "grid_width": width, "grid_radius": radius, "grid_metric": metric,
                    "grid_prefix": prefix, "top_k": top_k}  # fmt: skip
            lengths = (tokens, tokens - 5) if causal else None
            sizes = Sizes(rows=tokens, keys=tokens, width=16, value_width=16, causal=causal, kv_lengths=lengths)
            yield Case("KrauseAttention", sizes, grid)


def _widths() -> Iterator[Case]:
    for op_type in OP_TYPES:
        for width in (8, 16, 88, 104, 128, 192, 256):
            sizes = Sizes(1, 1, rows=70, keys=90, width=width, value_width=264 - width, batch=1, causal=width % 16 == 0)
            options = {"features": (8, 16)} if op_type == "HadamardLinearAttention" else {}
            yield Case(op_type, sizes, options)
            few = Sizes(2, 1, rows=2, keys=600, width=width, value_width=264 - width, batch=1)
            yield Case(op_type, few, {**options, **({"top_k": 5} if op_type == "KrauseAttention" else {})})
            one = Sizes(3, 1, rows=1, keys=600, width=width, value_width=264 - width, batch=1, causal=width % 16 == 0,
                        kv_lengths=(590,), q_start=(580,))  # fmt: skip
            yield Case(op_type, one, options)


def all_cases(pairs: tuple[tuple[int, int], ...] = ODD_SIZES) -> list[Case]:
    """The whole list, for rows and keys of these sizes."""
    cases = [
        Case(op_type, sizes, options)
        for op_type in OP_TYPES
        for sizes in _shapes(pairs)
        for options in _options(op_type, sizes)
    ]
    return [*cases, *_grids(), *_widths()]
