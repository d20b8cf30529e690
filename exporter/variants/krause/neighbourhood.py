"""The positional neighbourhoods of Krause attention: a sequence window or a grid with global prefix tokens."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

METRICS = ("chebyshev", "manhattan")


@dataclass(frozen=True)
class Grid:
    """Neighbourhood on an image grid in raster order, behind ``prefix`` global tokens.

    Global tokens see every token and are seen by every token; a cell sees the cells within ``radius``, itself
    included, without wrapping around the border. The paper's models use manhattan 1 (CIFAR) and chebyshev 2
    (ImageNet), each with one class token.

    Attributes:
        height, width: cells of the grid; height * width + prefix tokens in all.
        radius: largest distance that is still seen, in cells, >= 0.
        metric: "chebyshev" (a square) or "manhattan" (a diamond).
        prefix: number of global tokens before the cells. Default: 1.

    Raises:
        ValueError: a size that is no int or not positive, a negative radius or prefix, or an unknown metric.
    """

    height: int
    width: int
    radius: int
    metric: str = "chebyshev"
    prefix: int = 1

    def __post_init__(self) -> None:
        sizes = (self.height, self.width, self.radius, self.prefix)
        if any(isinstance(size, bool) or not isinstance(size, Integral) for size in sizes):
            raise ValueError(f"grid: expected ints as height, width, radius and prefix, given {sizes}")
        if self.height < 1 or self.width < 1:
            raise ValueError(f"grid: expected positive height and width, given {self.height}x{self.width}")
        if self.radius < 0 or self.prefix < 0:
            raise ValueError(f"grid: expected radius and prefix >= 0, given {self.radius} and {self.prefix}")
        if self.metric not in METRICS:
            raise ValueError(f"grid: expected metric {' or '.join(METRICS)}, given {self.metric!r}")

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.height * self.width

    @property
    def tokens(self) -> int:
        """Number of tokens, prefix included."""
        return self.prefix + self.cells

    def offsets(self) -> list[tuple[int, int]]:
        """Row and column steps to every cell within the radius, in raster order."""
        reach = range(-self.radius, self.radius + 1)
        return [
            (down, right)
            for down in reach
            for right in reach
            if self.metric == "chebyshev" or abs(down) + abs(right) <= self.radius
        ]


def checked_grid(grid: object, window: int | None) -> Grid | None:
    """None, or a Grid where there is no window.

    Raises:
        ValueError: anything else.
    """
    if grid is not None and not isinstance(grid, Grid):
        raise ValueError(f"grid: expected None or a Grid, given {grid!r}")
    if grid is not None and window is not None:
        raise ValueError("grid: expected None together with window, given both")
    return grid


def grid_candidates(grid: Grid, device: torch.device) -> tuple[Tensor, Tensor]:
    """Keys every cell may attend to, in ascending order.

    Returns:
        index: int64 (cells, prefix + number of offsets), token numbers clipped to the grid.
        inside: boolean of the same shape, false where the offset leaves the grid.
    """
    cell = torch.arange(grid.cells, device=device)
    steps = torch.tensor(grid.offsets(), device=device).reshape(-1, 2)
    row = (cell // grid.width)[:, None] + steps[:, 0]
    column = (cell % grid.width)[:, None] + steps[:, 1]
    inside = (row >= 0) & (row < grid.height) & (column >= 0) & (column < grid.width)
    neighbours = grid.prefix + row.clamp(0, grid.height - 1) * grid.width + column.clamp(0, grid.width - 1)
    prefix = torch.arange(grid.prefix, device=device).expand(grid.cells, -1)
    return (
        torch.cat([prefix, neighbours], dim=1),
        torch.cat([torch.ones_like(prefix, dtype=torch.bool), inside], dim=1),
    )


def grid_mask(grid: Grid, device: torch.device) -> Tensor:
    """Boolean (tokens, tokens), true where the row's token may attend to the column's."""
    cell = torch.arange(grid.cells, device=device)
    down = (cell[:, None] // grid.width - cell // grid.width).abs()
    right = (cell[:, None] % grid.width - cell % grid.width).abs()
    distance = torch.maximum(down, right) if grid.metric == "chebyshev" else down + right
    mask = torch.ones(grid.tokens, grid.tokens, dtype=torch.bool, device=device)
    mask[grid.prefix :, grid.prefix :] = distance <= grid.radius
    return mask


def checked_prefix(prefix: object, window: int | None) -> int:
    """How many first keys all rows see beside a window.

    Raises:
        ValueError: no int >= 0, or one above 0 without a window.
    """
    if isinstance(prefix, bool) or not isinstance(prefix, Integral) or prefix < 0:
        raise ValueError(f"prefix: expected an int >= 0, given {prefix!r}")
    if prefix and window is None:
        raise ValueError(f"prefix: expected 0 without a window, given {prefix}")
    return int(prefix)


def window_mask(positions: Tensor, keys: int, window: int) -> Tensor:
    """Boolean (B or 1, 1, N, M), true where |p_i - j| < window, for row positions (B or 1, N)."""
    distance = positions[:, None, :, None] - torch.arange(keys, device=positions.device)
    return distance.abs() < window
