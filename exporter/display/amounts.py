"""Amounts in words."""

from __future__ import annotations

from attnexport.messages import count


def size(amount: int) -> str:
    """An amount of bytes, as ``1.5 MiB``."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if amount >= factor:
            return f"{amount / factor:.1f} {unit}"
    return count(amount, "byte")


def duration(seconds: float) -> str:
    """A time in whole seconds, as ``1 min 20 s``."""
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def times(factor: float) -> str:
    """How many times as large: three digits, all of the whole ones up to a million; what is above 1 never reads 1."""
    if 100 <= factor < 1e6:
        return f"{factor:,.0f}"
    return f"{factor:.12g}" if 1 < factor < 1.005 else f"{factor:.3g}"


def percent(value: float) -> str:
    """A share up to 1."""
    return f"{100 * value:.0f} %" if value >= 0.01 or value == 0 else "< 1 %"
