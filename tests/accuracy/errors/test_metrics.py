"""Task metrics against NumPy and torch, and the lines that unusable ones give."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from attnexport.accuracy.errors.metrics import MetricMeans, find_metric
from attnexport.accuracy.errors.scores import Metric
from attnexport.accuracy.inputs.files import Batch
from attnexport.errors import InputError

CLASSES = 7


def scores(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, 3, CLASSES))


def labels(rows: int) -> np.ndarray:
    return np.random.default_rng(9).integers(0, CLASSES, (rows, 3))


def batch(rows: int, given: np.ndarray | None) -> Batch:
    return Batch("data.npz[0:5]", (), given, rows=rows)


def measured(name: str, pieces: list[int], max_drop: float | None = None) -> Metric:
    """Reference and contender of the same rows, in batches of these sizes."""
    rows = sum(pieces)
    exact, given, right = scores(rows, 0), scores(rows, 1), labels(rows)
    means, start = MetricMeans(find_metric(name), max_drop), 0
    for size in pieces:
        part = slice(start, start + size)
        means.add(batch(size, right[part]), {"logits": exact[part]}, {"logits": given[part].astype(np.float32)})
        start += size
    return means.result()


@pytest.mark.parametrize("pieces", [[20], [3, 16, 1]])
def test_built_in_metrics_do_not_depend_on_the_batches(pieces):
    exact, given, right = scores(20, 0), scores(20, 1), labels(20)
    assert measured("accuracy", pieces).reference == pytest.approx((exact.argmax(-1) == right).mean())
    assert measured("accuracy", pieces).contender == pytest.approx((given.argmax(-1) == right).mean())
    top5 = torch.from_numpy(exact).topk(5).indices.eq(torch.from_numpy(right)[..., None]).any(-1)
    assert measured("top5", pieces).reference == pytest.approx(float(top5.double().mean()))
    loss = torch.nn.functional.cross_entropy(
        torch.from_numpy(given).float().flatten(0, 1), torch.from_numpy(right).flatten()
    )
    assert measured("perplexity", pieces).contender == pytest.approx(float(loss.exp()), rel=1e-5)


@pytest.mark.parametrize(
    ("lower_is_better", "contender", "drop"), [(False, 0.7, 0.2), (False, 0.95, -0.05), (True, 1.2, 0.3)]
)
def test_drop_is_how_much_worse_the_contender_is(lower_is_better, contender, drop):
    metric = Metric("m", 0.9, contender, lower_is_better, 0.1)
    assert metric.drop == pytest.approx(drop)
    assert metric.passed == (drop <= 0.1)


def test_metric_without_an_allowed_drop_is_shown_only():
    assert Metric("m", 0.9, 0.1, False, None).passed


def test_metric_that_is_nan_does_not_pass():
    assert not Metric("m", 0.9, float("nan"), False, 0.5).passed


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """A module in the current folder, as users have it."""
    (tmp_path / "my_metrics.py").write_text(
        "import numpy as np\n"
        "def error(outputs, labels):\n"
        "    return np.abs(outputs['logits']).mean((1, 2))\n"
        "error.lower_is_better = True\n"
        "def of_batch(outputs, labels):\n"
        "    return float(outputs['logits'].sum()) / len(outputs['logits'])\n"
        "def broken(outputs, labels):\n"
        "    raise KeyError('no such output')\n"
        "def text(outputs, labels):\n"
        "    return 'good'\n"
        "def empty(outputs, labels):\n"
        "    return []\n"
        "number = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("my_metrics", None)


@pytest.mark.usefixtures("user_module")
def test_functions_of_the_user_give_values_a_sample_or_the_mean_of_a_batch():
    exact = scores(20, 0)
    error = measured("my_metrics:error", [3, 17])
    assert error.lower_is_better
    assert error.reference == pytest.approx(np.abs(exact).mean())
    assert measured("my_metrics:of_batch", [3, 17]).reference == pytest.approx(exact.sum() / 20)


@pytest.mark.usefixtures("user_module")
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("bleu", "metrics: expected accuracy, top5, perplexity or module:function, given 'bleu'"),
        ("my_metrics:", "expected accuracy, top5"),
        ("no_such_module:f", "metrics no_such_module:f: cannot import no_such_module: ModuleNotFoundError"),
        ("my_metrics:missing", "metrics my_metrics:missing: my_metrics has no function missing"),
        ("my_metrics:number", "metrics my_metrics:number: my_metrics has no function number"),
    ],
)
def test_metrics_that_do_not_exist(name, line):
    with pytest.raises(InputError) as caught:
        find_metric(name)
    assert line in str(caught.value)


@pytest.mark.usefixtures("user_module")
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("my_metrics:broken", "metrics my_metrics:broken: KeyError: 'no such output'"),
        ("my_metrics:empty", "metrics my_metrics:empty: expected a value a sample, given none"),
        ("my_metrics:text", "metrics my_metrics:text: expected a number, or one a sample, given str"),
    ],
)
def test_functions_that_fail(name, line):
    with pytest.raises(InputError) as caught:
        measured(name, [5])
    assert line in str(caught.value)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (None, "metrics accuracy: expected an array labels in data.npz[0:5], found none"),
        (np.zeros(4, int), "data.npz[0:5]: labels: expected shape (5, 3) (logits), given (4,)"),
        (np.full((5, 3), CLASSES), "data.npz[0:5]: labels: expected 0 to 6, given 7 to 7"),
    ],
)
def test_labels_that_do_not_fit(given, line):
    outputs = {"logits": scores(5, 0)}
    with pytest.raises(InputError) as caught:
        MetricMeans(find_metric("accuracy"), None).add(batch(5, given), outputs, outputs)
    assert str(caught.value) == line


def test_model_without_scores():
    outputs = {"chosen": np.zeros(5, int)}
    with pytest.raises(InputError, match=r"expected an output of scores \(…, classes\), found none"):
        MetricMeans(find_metric("top5"), None).add(batch(5, np.zeros(5, int)), outputs, outputs)
