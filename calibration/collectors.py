"""What is kept of the values that calibration sees, and the ranges that come of it.

Histograms and their thresholds are ONNX Runtime's (onnxruntime.quantization.calibrate), with bins fine enough that its
entropy differs from the extremes; the least squared error is read off the same histograms.
"""

from __future__ import annotations

import contextlib
import io
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.calibration.ranges import Range

PERCENTILE = 99.999
BINS = 2048
MOST_BINS = 1 << 16
_LEVELS = 127
_CANDIDATES = 100
_SEEN = "seen"
_ENTRY = ("counts", "edges", "lowest", "highest", "threshold")
"""What ONNX Runtime has of a tensor."""


class Collector(ABC):
    """Takes the values of tensors run by run, and gives their ranges."""

    @abstractmethod
    def add(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Takes the values of one run by tensor name; floating, finite, float32."""

    @abstractmethod
    def ranges(self) -> dict[str, Range]:
        """The range of each tensor by name."""

    @abstractmethod
    def kept(self) -> dict[str, dict[str, NDArray[Any]]]:
        """What was collected of each tensor by name, as arrays by a word for them."""

    @abstractmethod
    def take_up(self, kept: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
        """Goes on from what another collector of the same method kept.

        Raises:
            ValueError: arrays that no collector keeps.
        """


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

    def kept(self) -> dict[str, dict[str, NDArray[Any]]]:
        return {name: {_SEEN: np.array(seen)} for name, seen in self.seen.items()}

    def take_up(self, kept: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
        for name, arrays in kept.items():
            lowest, highest = _of_shape(arrays, _SEEN, (2,)).tolist()
            self.seen[name] = float(lowest), float(highest)


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
        self._widen_bins(values)
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

    def kept(self) -> dict[str, dict[str, NDArray[Any]]]:
        found = self._extremes.kept()
        for name, entry in self._collector.histogram_dict.items():
            found[name] |= {word: np.asarray(value) for word, value in zip(_ENTRY, entry, strict=True)}
        return found

    def take_up(self, kept: Mapping[str, Mapping[str, NDArray[Any]]]) -> None:
        self._extremes.take_up(kept)
        for name, arrays in kept.items():
            bins = arrays[_ENTRY[0]].size
            shapes = ((bins,), (bins + 1,), (), (), ())
            entry = (_of_shape(arrays, word, shape) for word, shape in zip(_ENTRY, shapes, strict=True))
            self._collector.histogram_dict[name] = tuple(entry)

    def _widen_bins(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Puts bins together where a far larger value would make more than MOST_BINS of their width."""
        histograms = self._collector.histogram_dict
        for name, array in values.items():
            if not array.size or name not in histograms or not histograms[name][-1]:
                continue
            counts, _, lowest, highest, threshold = histograms[name]
            bins = len(counts) * float(np.abs(array).max()) / float(threshold)
            if bins > MOST_BINS:
                counts, edges = _in_wider_bins(counts, float(threshold), math.ceil(bins / BINS))
                histograms[name] = (counts, edges, lowest, highest, edges[-1])

    def _percentile(self) -> dict[str, float]:
        return {name: _at_percentile(*_magnitudes(entry)) for name, entry in self._collector.histogram_dict.items()}

    def _entropy(self) -> dict[str, float]:
        with contextlib.redirect_stdout(io.StringIO()):
            found = self._collector.compute_entropy()
        return {name: max(abs(float(one[0])), abs(float(one[1]))) for name, one in found.items()}

    def _least_error(self) -> dict[str, float]:
        return {name: _with_least_error(*_magnitudes(entry)) for name, entry in self._collector.histogram_dict.items()}


def _in_wider_bins(counts: NDArray[Any], threshold: float, factor: int) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Counts and edges of a histogram about zero in bins that are as many old ones wide, the outermost padded."""
    half = len(counts) // 2
    wide = -(-half // factor)
    padded = np.pad(counts, wide * factor - half)
    reach = threshold / half * factor * wide
    return padded.reshape(-1, factor).sum(axis=1), np.linspace(-reach, reach, 2 * wide + 1)


def _of_shape(arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    array = arrays[name]
    if array.shape != shape:
        raise ValueError(f"{name}: expected {shape}, given {array.shape}")
    return array


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
