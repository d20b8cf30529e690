"""Whatever the order of its scores, a row keeps its k largest keys, of equal ones those of the lower indices."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attnexport.plugins.calling.library import Library
from tests.plugins.kernel_cases import Arguments, Case, Sizes, hold_to_reference, run_kernel

pytestmark = pytest.mark.slow

COLUMNS = 128
"""Of the values in one call: the unit vectors of as many keys."""


def order_of(name: str, keys: int) -> Tensor:
    """Whole numbers, one a key, that rank them."""
    place = torch.arange(keys)
    return {
        "ascending": place,
        "descending": keys - place,
        "all-equal": torch.zeros(keys),
        "one-hot": place == keys * 2 // 3,
        "one-cold": place != keys * 2 // 3,
        "blocks-of-duplicates": place // 64 % 5,
        "ascending-duplicates": place // 5,
        "repeated-every-128": torch.randperm(128, generator=torch.Generator().manual_seed(0))[place % 128],
        "repeated-every-8": place % 8,
        "saw": place % 200,
    }[name].double()


ORDERS = (
    "ascending",
    "descending",
    "all-equal",
    "one-hot",
    "one-cold",
    "blocks-of-duplicates",
    "ascending-duplicates",
    "repeated-every-128",
    "repeated-every-8",
    "saw",
)


def ranking(order: Tensor, rows: int, width: int) -> tuple[Tensor, Tensor]:
    """Queries and keys of half precision whose products are exactly these numbers."""
    high = order.div(64, rounding_mode="floor")
    q, k = torch.zeros(1, 1, rows, width), torch.zeros(1, 1, len(order), width)
    q[..., 0], q[..., 1] = 64, 1
    k[..., 0], k[..., 1] = high, order - 64 * high
    return q.half(), k.half()


def kept_keys(library: Library, q: Tensor, k: Tensor, options: Arguments) -> Tensor:
    """Whether a row gives a key a weight, (rows, keys)."""
    keys, weights = k.shape[2], []
    for first in range(0, keys, COLUMNS):
        units = torch.eye(keys)[:, first : first + COLUMNS]
        v = torch.nn.functional.pad(units, (0, COLUMNS - units.shape[1]))[None, None].half()
        weights.append(run_kernel(library.ops["TopNAttention"], {"q": q, "k": k, "v": v, **options})[0, 0])
    return torch.cat(weights, -1)[:, :keys] > 0


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("rows", "keys", "count", "causal"),
    [(70, 500, 64, False), (70, 300, 128, True), (2, 1500, 64, True), (3, 700, 100, False), (1, 600, 150, False)],
    ids=["lists", "lists-causal", "scores-causal", "scores", "thresholds"],
)
def test_the_largest_keys_are_kept(
    order: str, rows: int, keys: int, count: int, causal: bool, emulated_library: Library
):
    numbers = order_of(order, keys)
    q, k = ranking(numbers, rows, 16)
    visible = torch.ones(rows, keys, dtype=torch.bool)
    if causal:
        visible = torch.arange(keys) <= keys - rows + torch.arange(rows)[:, None]
    ranked = numbers.expand(rows, -1).masked_fill(~visible, -1.0)
    expected = torch.zeros(rows, keys, dtype=torch.bool)
    expected.scatter_(1, ranked.sort(dim=-1, descending=True, stable=True).indices[:, :count], True)
    options = {"n": count, "scale": 2.0**-12, "renormalize": True, "causal": causal}
    assert torch.equal(kept_keys(emulated_library, q, k, options), expected)


@pytest.mark.parametrize(("rows", "keys", "count"), [(70, 200, 64), (2, 700, 9), (70, 200, 150)])
def test_a_row_that_sees_a_nan_is_nan_and_no_other(rows: int, keys: int, count: int, emulated_library: Library):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 1, size, 16, generator=generator).half() for size in (rows, keys, keys))
    start = torch.tensor([keys - rows], dtype=torch.int32)
    arguments = {"q": q, "k": k, "v": v, "n": count, "scale": 0.25, "renormalize": True, "causal": True,
                 "q_start": start, "kv_lengths": torch.tensor([keys], dtype=torch.int32)}  # fmt: skip
    clean = run_kernel(emulated_library.ops["TopNAttention"], arguments)
    k[0, 0, keys - rows // 2 - 1, 3] = float("nan")
    marred = run_kernel(emulated_library.ops["TopNAttention"], arguments)
    sees = keys - rows + torch.arange(rows) >= keys - rows // 2 - 1
    assert marred[0, 0, sees].isnan().all()
    assert torch.equal(marred[0, 0, ~sees], clean[0, 0, ~sees])


@pytest.mark.parametrize(("rows", "keys"), [(70, 300), (2, 700)])
def test_a_sample_is_the_same_alone_and_among_others(rows: int, keys: int, emulated_library: Library):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(3, 2, size, 32, generator=generator).half() for size in (rows, keys, keys))
    options = {"n": 20, "scale": 0.2, "renormalize": False, "causal": False}
    together = run_kernel(emulated_library.ops["TopNAttention"], {"q": q, "k": k, "v": v, **options})
    for sample in range(3):
        alone = {"q": q[sample : sample + 1], "k": k[sample : sample + 1], "v": v[sample : sample + 1]}
        assert torch.equal(run_kernel(emulated_library.ops["TopNAttention"], {**alone, **options})[0], together[sample])


@pytest.mark.timeout(600)
def test_values_are_gathered_where_rows_are_long_and_many(emulated_library: Library):
    sizes = Sizes(heads=66, kv_heads=66, rows=17, keys=1600, batch=1)
    outcome = hold_to_reference(
        Case("TopNAttention", sizes, {"n": 100}), emulated_library.ops["TopNAttention"], torch.float16
    )
    assert outcome.good, f"error {outcome.error:.3g}, allowed {outcome.allowed:.3g}"
