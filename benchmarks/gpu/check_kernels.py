"""Kernels against the float64 reference over the parameter list: python -m benchmarks.gpu.check_kernels LIBRARY."""

from __future__ import annotations

import itertools
import sys

import torch
from torch import Tensor

import attnexport
from benchmarks.gpu.kernels import Kernels

FLOOR = {"krause": 4.0, "affine": 4.0, "ssa": 4.0}


def draw(seed: int, *shape: int) -> Tensor:
    """Normal float64 values on the GPU."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).cuda()


def lengths(values: list[int]) -> Tensor:
    """kv_lengths or q_start."""
    return torch.tensor(values, dtype=torch.int32, device="cuda")


def call(kernels: Kernels, name: str, dtype: torch.dtype, sizes: tuple[int, ...], options: dict):  # type: ignore[no-untyped-def]
    """Runs kernel, reference and PyTorch at the same precision; returns the three outputs."""
    batch, heads, kv_heads, rows, keys, width, value_width = sizes
    q = draw(1, batch, heads, rows, width).to(dtype)
    k = draw(2, batch, kv_heads, keys, width).to(dtype)
    v = draw(3, batch, kv_heads, keys, value_width).to(dtype)
    out = torch.full((batch, heads, rows, value_width), float("nan"), dtype=dtype, device="cuda")
    if "kv_lengths" in options:
        for sample, length in enumerate(options["kv_lengths"].tolist()):
            k[sample, :, max(length, 0) :] = v[sample, :, max(length, 0) :] = float("nan")
    window = options.pop("window", 0)
    if name == "krause":
        sigma = torch.linspace(2.0, 3.0, heads).to(dtype).cuda()
        launch = kernels.krause(q, k, v, sigma, out, window=window, **options)
        operator, args = attnexport.krause_attention, (q, k, v, sigma)
        options = {**options, "window": window or None}
    elif name == "affine":
        alpha, beta = draw(4, batch, heads, rows).sigmoid().to(dtype), (draw(5, batch, heads, rows) / 50).to(dtype)
        scale = width**-0.5
        launch = kernels.affine(q, k, v, alpha, beta, out, scale=scale, **options)
        operator, args = attnexport.affine_scaled_attention, (q, k, v, alpha, beta)
    else:
        omega_q, omega_k = (0.5 * width**-0.5 * x.double() for x in (q, k))
        omega_q, omega_k = omega_q.to(dtype), omega_k.to(dtype)
        theta = (0.4 * draw(6, batch, kv_heads, keys, width)).to(dtype)
        coupling, alpha = torch.tensor(8.0, dtype=dtype).cuda(), torch.linspace(0.3, 0.6, heads).to(dtype).cuda()
        launch = kernels.ssa(omega_q, omega_k, theta, v, coupling, alpha, out, **options)
        operator, args = attnexport.selective_synchronization_attention, (omega_q, omega_k, theta, v, coupling, alpha)
    launch()
    torch.cuda.synchronize()
    with torch.no_grad():
        exact = operator(*(x.double() for x in args), **options)
        plain = operator(*args, **options)
    again = out.clone()
    out.fill_(float("nan"))
    launch()
    assert torch.equal(again, out), "two runs differ"
    return out, exact, plain


def cases():  # type: ignore[no-untyped-def]
    """Sizes (batch, heads, kv_heads, rows, keys, width, value_width) and options."""
    for rows, keys in ((1, 1), (7, 63), (63, 7), (127, 500), (500, 127), (256, 256), (1, 4096), (3, 1000)):
        for causal in (False, True):
            yield (2, 4, 2, rows, keys, 64, 64), {"causal": causal}
            yield (2, 4, 4, rows, keys, 40, 72), {"causal": causal}
            more = {"kv_lengths": lengths([keys, keys // 3]), "q_start": lengths([0, keys // 2])}
            yield (2, 4, 1, rows, keys, 128, 96), {"causal": causal, **more}
            yield (2, 4, 2, rows, keys, 16, 64), {"causal": causal, "kv_lengths": lengths([0, keys])}
    for width in range(16, 257, 8):
        yield (1, 2, 2, 130, 200, width, 272 - width), {"causal": width % 16 == 0}
    yield (0, 2, 2, 5, 5, 64, 64), {}
    yield (1, 2, 2, 0, 5, 64, 64), {}
    yield (1, 2, 2, 5, 0, 64, 64), {"causal": True}
    yield (8, 16, 2, 1, 8192, 128, 128), {}


def main() -> int:
    """Prints failures and the worst share of the budget; returns 1 when something failed."""
    kernels, failed, count, worst = Kernels(sys.argv[1]), 0, 0, 0.0
    names = sys.argv[2:] or list(FLOOR)
    for name, dtype in itertools.product(names, (torch.float16, torch.bfloat16)):
        windows = (0, 1, 5, 64, 300) if name == "krause" else (0,)
        for (sizes, options), window in itertools.product(list(cases()), windows):
            out, exact, plain = call(kernels, name, dtype, sizes, {**options, "window": window})
            count += 1
            if out.numel() == 0:
                continue
            error = (out.double() - exact).abs().max().item()
            floor = FLOOR[name] * torch.finfo(dtype).eps * exact.abs().max().item()
            budget = 2 * (plain.double() - exact).abs().max().item() + floor
            good = bool(torch.isfinite(out).all()) and error <= budget + 1e-12
            worst = max(worst, error / (budget + 1e-12))
            if not good:
                failed += 1
                if failed <= 20:
                    print(f"FAIL {name} {dtype} {sizes} window={window} causal={options.get('causal')} "
                          f"lengths={'kv_lengths' in options}: error {error:.3g}, allowed {budget:.3g}")  # fmt: skip
    print(f"{count} cases, {failed} outside the budget, worst share of the budget {worst:.2f}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
