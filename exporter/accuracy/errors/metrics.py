"""Task metrics of the float64 reference and of a contender: built in, or a function of the user's."""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnexport.accuracy.errors.metric_names import split_metric
from attnexport.accuracy.errors.scores import Metric, Predictions
from attnexport.accuracy.inputs.files import LABELS, Batch
from attnexport.errors import InputError, told
from attnexport.messages import option

Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class MetricSpec:
    """A metric: the mean of per-sample values, and what is made of the mean.

    Attributes:
        name: as ``--metric`` takes it.
        values: (outputs by name, labels or None) to one value a sample, or to the mean of a batch.
        on_scores: whether ``values`` takes one output, scores (…, classes) that labels (…) fit, in place of all.
        lower_is_better: whether a larger value is worse.
        of_mean: applied to the mean in the end.
    """

    name: str
    values: Callable[..., Any]
    on_scores: bool = False
    lower_is_better: bool = False
    of_mean: Callable[[float], float] = float


def _accuracy(scores: NDArray[Any], labels: NDArray[Any]) -> NDArray[Any]:
    right: NDArray[Any] = scores.argmax(-1) == labels
    return right


def _top5(scores: NDArray[Any], labels: NDArray[Any]) -> NDArray[Any]:
    best = np.argsort(-scores, -1, kind="stable")[..., :5]
    found: NDArray[Any] = (best == labels[..., None]).any(-1)
    return found


def _negative_log_likelihood(scores: NDArray[Any], labels: NDArray[Any]) -> NDArray[Any]:
    shifted = scores - scores.max(-1, keepdims=True)
    chosen = np.take_along_axis(shifted, labels[..., None].astype(np.int64), -1)[..., 0]
    likelihood: NDArray[Any] = np.log(np.exp(shifted).sum(-1)) - chosen
    return likelihood


def _perplexity_of(mean: float) -> float:
    return math.exp(mean) if mean < 700 else math.inf


BUILT_IN = {
    metric.name: metric
    for metric in (
        MetricSpec("accuracy", _accuracy, on_scores=True),
        MetricSpec("top5", _top5, on_scores=True),
        MetricSpec(
            "perplexity", _negative_log_likelihood, on_scores=True, lower_is_better=True, of_mean=_perplexity_of
        ),
    )
}
"""By name, one for each of METRIC_NAMES."""


def find_metric(name: str) -> MetricSpec:
    """A built-in metric, or ``module:function`` imported with the current folder on the path.

    The function takes the outputs of a batch (name to array) and its labels (an array, or None without) and returns
    one value a sample, or the mean of the batch. An attribute ``lower_is_better = True`` of it says so.

    Raises:
        InputError: no such metric, or it cannot be imported.
    """
    parts = split_metric(name)
    if parts is None:
        return BUILT_IN[name]
    module_name, attribute = parts
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise InputError(f"{option('--metric')} {name}: cannot import {module_name}: {told(error)}") from None
    finally:
        sys.path.remove(folder)
    function = getattr(module, attribute, None)
    if not callable(function):
        raise InputError(f"{option('--metric')} {name}: {module_name} has no function {attribute}")
    return MetricSpec(name, function, lower_is_better=bool(getattr(function, "lower_is_better", False)))


def scores_output(outputs: Outputs, labels: NDArray[Any] | None, source: str) -> str | None:
    """Name of the floating output (…, classes) that labels (…) fit, without labels of the first; None without any.

    Raises:
        InputError: labels that fit none.
    """
    scores = {name: values for name, values in outputs.items() if values.dtype.kind == "f" and values.ndim >= 2}
    if not scores:
        return None
    for name, values in scores.items():
        if labels is None or labels.shape == values.shape[:-1]:
            return name
    assert labels is not None
    shapes = " or ".join(f"{values.shape[:-1]} ({name})" for name, values in scores.items())
    raise InputError(f"{source}: {LABELS}: expected shape {shapes}, given {labels.shape}")


class MetricMeans:
    """Running means of one metric in the reference and in a contender."""

    def __init__(self, spec: MetricSpec, max_drop: float | None) -> None:
        self._spec, self._max_drop = spec, max_drop
        self._reference = self._contender = self._weight = 0.0

    def add(self, batch: Batch, exact: Outputs, given: Outputs) -> None:
        """Takes in one batch.

        Raises:
            InputError: labels that are missing or fit no output, or a function that fails.
        """
        scores = self._scores(batch, exact) if self._spec.on_scores else None
        reference, weight = self._mean(batch, exact, scores)
        contender, _ = self._mean(batch, given, scores)
        self._reference += reference * weight
        self._contender += contender * weight
        self._weight += weight

    def _scores(self, batch: Batch, exact: Outputs) -> str:
        """Name of the output that the labels fit."""
        labels = batch.labels
        if labels is None:
            wanted = f"expected an array {LABELS} in {batch.source}"
            raise InputError(f"{option('--metric')} {self._spec.name}: {wanted}, found none")
        name = scores_output(exact, labels, batch.source)
        if name is None:
            wanted = "expected an output of scores (…, classes)"
            raise InputError(f"{option('--metric')} {self._spec.name}: {wanted}, found none")
        classes = exact[name].shape[-1]
        if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            given = f"{labels.min()} to {labels.max()}"
            raise InputError(f"{batch.source}: {LABELS}: expected 0 to {classes - 1}, given {given}")
        return name

    def _mean(self, batch: Batch, outputs: Outputs, scores: str | None) -> tuple[float, float]:
        """Mean of a batch and how many samples it is of."""
        argument = dict(outputs) if scores is None else outputs[scores].astype(np.float64)
        try:
            found = self._spec.values(argument, batch.labels)
        except Exception as error:
            raise InputError(f"{option('--metric')} {self._spec.name}: {told(error)}") from error
        try:
            values = np.asarray(found, np.float64)
        except (TypeError, ValueError):
            wanted = "expected a number, or one a sample"
            raise InputError(
                f"{option('--metric')} {self._spec.name}: {wanted}, given {type(found).__name__}"
            ) from None
        if values.ndim == 0:
            return float(values), float(batch.rows)
        if not values.size:
            raise InputError(f"{option('--metric')} {self._spec.name}: expected a value a sample, given none")
        return float(values.mean()), float(values.size)

    @property
    def values(self) -> int:
        """How many values the means are of."""
        return round(self._weight)

    def result(self) -> Metric:
        """The metric over all batches."""
        spec, weight = self._spec, self._weight or 1.0
        reference, contender = spec.of_mean(self._reference / weight), spec.of_mean(self._contender / weight)
        return Metric(spec.name, reference, contender, spec.lower_is_better, self._max_drop)


class PredictionCounts:
    """Running agreement of predictions, of the output that the first batch's labels fit.

    Attributes:
        found: what was counted so far, None without an output of scores.
    """

    found: Predictions | None = None

    def add(self, batch: Batch, exact: Outputs, given: Outputs) -> None:
        """Takes in one batch.

        Raises:
            InputError: labels that fit no output.
        """
        labels, found = batch.labels, self.found
        candidates = exact if found is None else {found.output: exact[found.output]}
        output = scores_output(candidates, labels, batch.source)
        if output is None:
            return
        found = found or Predictions(output, 0, 0, 0, 0, 0)
        reference, contender = exact[output].argmax(-1), given[output].argmax(-1)
        self.found = Predictions(
            output,
            found.compared + reference.size,
            found.agreeing + int((reference == contender).sum()),
            found.labelled + (0 if labels is None else labels.size),
            found.right_reference + (0 if labels is None else int((reference == labels).sum())),
            found.right_contender + (0 if labels is None else int((contender == labels).sum())),
        )
