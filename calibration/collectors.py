"""What is kept of the values that calibration sees, and the ranges that come of it.

Histograms and their thresholds are ONNX Runtime's (onnxruntime.quantization.calibrate), with bins fine enough that its
entropy differs from the extremes; the least squared error is read off the same histograms.
"""

from __future__ import annotations

import contextlib
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.calibration.ranges import Range

PERCENTILE = 99.999
BINS = 2048
_LEVELS = 127
_CANDIDATES = 100


class Collector(ABC):
    """Takes the values of tensors run by run, and gives their ranges."""

    @abstractmethod
    def add(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Takes the values of one run by tensor name; floating, finite, float32."""

    @abstractmethod
    def ranges(self) -> dict[str, Range]:
        """The range of each tensor by name."""


class Extremes(Collector):
    """The least and the largest value of each tensor."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[float, float]] = {}

    def add(self, values: Mapping[str, NDArray[Any]]) -> None:
        for name, array in values.items():
            if array.size:
                lowest, highest = self.seen.get(name, (np.inf, -np.inf))
                self.seen[name] = min(lowest, float(array.min())), max(highest, float(array.max()))

    def ranges(self) -> dict[str, Range]:
        return {name: Range(*seen, *seen) for name, seen in self.seen.items()}


class Histograms(Collector):
    """ONNX Runtime's histograms of each tensor, and the threshold that a method reads off them.

    Args:
        method: percentile, entropy or mse.
    """

    def __init__(self, method: str) -> None:
        from onnxruntime.quantization.calibrate import HistogramCollector

        self._method = method
        self._extremes = Extremes()
        self._collector = HistogramCollector(
            method="entropy" if method == "entropy" else "distribution",
            symmetric=True,
            num_bins=BINS,
            num_quantized_bins=_LEVELS + 1,
            percentile=PERCENTILE,
            scenario="same",
        )

    def add(self, values: Mapping[str, NDArray[Any]]) -> None:
        self._extremes.add(values)
        with contextlib.redirect_stdout(io.StringIO()):
            self._collector.collect_value({name: array for name, array in values.items() if array.size})

    def ranges(self) -> dict[str, Range]:
        read = {"percentile": self._percentile, "entropy": self._entropy, "mse": self._least_error}[self._method]
        thresholds = read()
        found = {}
        for name, seen in self._extremes.seen.items():
            threshold = min(thresholds[name], max(abs(seen[0]), abs(seen[1])))
            found[name] = Range(max(seen[0], -threshold), min(seen[1], threshold), *seen)
        return found

    def _percentile(self) -> dict[str, float]:
        return {name: _at_percentile(*_magnitudes(entry)) for name, entry in self._collector.histogram_dict.items()}

    def _entropy(self) -> dict[str, float]:
        with contextlib.redirect_stdout(io.StringIO()):
            found = self._collector.compute_entropy()
        return {name: max(abs(float(one[0])), abs(float(one[1]))) for name, one in found.items()}

    def _least_error(self) -> dict[str, float]:
        return {name: _with_least_error(*_magnitudes(entry)) for name, entry in self._collector.histogram_dict.items()}


def collector_for(method: str) -> Collector:
    """A collector for one of options.METHODS."""
    return Extremes() if method == "minmax" else Histograms(method)


def _magnitudes(entry: tuple[Any, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Counts of magnitudes, and the upper edge of each bin, of a histogram that is symmetric about zero."""
    counts, edges = np.asarray(entry[0], np.float64), np.asarray(entry[1], np.float64)
    middle = len(counts) // 2
    return counts[middle:] + counts[:middle][::-1], edges[middle + 1 :]


def _at_percentile(counts: NDArray[np.float64], edges: NDArray[np.float64]) -> float:
    shares = np.cumsum(counts) / max(counts.sum(), 1)
    return float(edges[min(int(np.searchsorted(shares, PERCENTILE / 100)), len(edges) - 1)])


def _with_least_error(counts: NDArray[np.float64], edges: NDArray[np.float64]) -> float:
    """The threshold whose symmetric grid of 255 values errs least in the mean square."""
    centres = edges - edges[0] / 2
    candidates = edges[-1] * np.arange(1, _CANDIDATES + 1) / _CANDIDATES
    errors = [(counts * (centres - _rounded(centres, threshold)) ** 2).sum() for threshold in candidates]
    return float(candidates[int(np.argmin(errors))])


def _rounded(values: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    scale = threshold / _LEVELS
    return np.minimum(np.rint(values / scale), _LEVELS) * scale
