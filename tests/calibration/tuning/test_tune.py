"""tune finds the layers that quantization ruins, holds what it promises, measures nothing twice and repeats itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import attnexport
from attnexport.accuracy.errors.metrics import find_metric
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.calibration.tuning.candidates import FLOATING, candidate
from attnexport.calibration.tuning.known import Writer
from attnexport.calibration.tuning.measuring import Yardstick
from attnexport.display.progress import unheard
from attnexport.errors import InputError
from tests.calibration.tied import HEAD, save_tied
from tests.calibration.tuning.chain import (
    CLASSES,
    LAYERS,
    RUINED,
    WIDTH,
    accuracy,
    relative_error,
    save_chain,
    save_data,
)
from tests.plugins import libraries

DIGITS = Path("samples/digits")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_chain(tmp_path_factory.mktemp("chain") / "chain.onnx")


@pytest.fixture(scope="module")
def data(model: Path) -> Path:
    return save_data(model.with_name("data.npz"), model)


@pytest.fixture
def tune(model: Path, data: Path, tmp_path: Path) -> Callable[..., attnexport.Tuning]:
    """Tunes the chain, by default to a drop of one in a hundred."""

    def tuned(output: str = "tuned.onnx", **options: Any) -> attnexport.Tuning:
        bounds = {} if "max_error" in options or "max_drop" in options else {"metrics": ["accuracy"], "max_drop": 0.01}
        return attnexport.tune(model, tmp_path / output, **{"data": data, **bounds, **options})

    return tuned


@pytest.fixture
def files_run(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The files that are measured, as they are."""
    seen: list[bytes] = []
    measure = Yardstick.measure

    def counted(self: Yardstick, path: Path, rows: int | None = None) -> Any:
        seen.append(path.read_bytes())
        return measure(self, path, rows)

    monkeypatch.setattr(Yardstick, "measure", counted)
    return seen


@pytest.mark.parametrize(("candidates", "left"), [(["int8"], "floating"), (["int8", "fp16"], "fp16")])
def test_the_layer_that_int8_ruins_keeps_a_floating_type_and_no_other_does(tune, candidates: list[str], left: str):
    found = tune(candidates=candidates, metrics=["accuracy"], max_drop=0.05)
    assert {layer.name: layer.candidate for layer in found.layers} == {
        name: left if name == RUINED else "int8" for name in LAYERS
    }
    alone = {layer.name: layer.alone["int8"].error for layer in found.layers}
    assert alone[RUINED] > 5 * max(error for name, error in alone.items() if name != RUINED)
    assert found.quantized == pytest.approx(1 - WIDTH**2 / (3 * WIDTH**2 + WIDTH * CLASSES))


def test_the_written_file_holds_what_was_promised(tune, model: Path, data: Path):
    found = tune(metrics=["accuracy"], max_drop=0.005, max_error=0.01)
    assert found.passed
    assert found.path is not None
    onnx.checker.check_model(str(found.path), full_check=True)
    error, drop = relative_error(found.path, model, data), accuracy(model, data) - accuracy(found.path, data)
    assert error <= 0.01
    assert drop <= 0.005
    assert found.chosen is not None
    # ONNX Runtime's CPU leaves out how half rounds, which tune does not.
    assert (found.chosen.measured.error, found.chosen.measured.drop) == pytest.approx((error, drop), rel=0.01)


def test_a_tighter_bound_costs_more_and_errs_less(tune):
    chosen = [tune(max_error=bound).chosen for bound in (0.5, 0.02, 0.002)]
    assert [one.weight_bytes for one in chosen] == sorted(one.weight_bytes for one in chosen)
    assert chosen[0].weight_bytes < chosen[2].weight_bytes
    assert all(one.measured.error <= bound for one, bound in zip(chosen, (0.5, 0.02, 0.002), strict=True))


def test_what_is_cheap_moves_few_bytes_or_makes_a_small_file(tune):
    """Files of equal size are told apart by their error, files that move fewer bytes are cheaper in spite of theirs."""
    chosen = {cost: tune(max_error=2.0, candidates=["int8", "int8-weights"], cost=cost) for cost in ("traffic", "size")}
    assert [found.chosen.title for found in chosen.values()] == ["all int8", "all int8-weights"]
    assert len({found.chosen.weight_bytes for found in chosen.values()}) == 1


def test_nothing_is_measured_twice_and_nothing_at_all_the_next_time(tune, tmp_path: Path, files_run: list[bytes]):
    first = tune(max_error=0.01, cache=tmp_path / "cache")
    assert max(Counter(files_run).values()) == 1
    assert (first.runs, first.known) == (len(files_run), 0)
    files_run.clear()
    again = tune("again.onnx", max_error=0.01, cache=tmp_path / "cache")
    assert not files_run
    assert (again.runs, again.known) == (0, first.runs)
    assert (again.plans, again.sha256) == (first.plans, first.sha256)


def test_another_bound_knows_what_the_first_measured(tune, tmp_path: Path, files_run: list[bytes]):
    first = tune(max_error=0.01, cache=tmp_path / "cache")
    second = tune("again.onnx", max_error=0.05, cache=tmp_path / "cache")
    assert second.known >= len(LAYERS) * len(first.candidates)
    assert max(Counter(files_run).values()) == 1


def test_other_data_is_measured_anew(tune, model: Path, tmp_path: Path):
    tune(max_error=0.01, cache=tmp_path / "cache")
    other = save_data(tmp_path / "other.npz", model, seed=2)
    assert tune("again.onnx", max_error=0.01, data=other, cache=tmp_path / "cache").known == 0


def test_an_interrupted_search_leaves_its_figures_alone_and_goes_on(tune, tmp_path: Path, files_run: list[bytes]):
    def stop(step: str, done: float | None) -> None:
        if "third alone in int8" in step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(candidates=["int8", "fp16"], cache=tmp_path / "cache", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    before = len(files_run)
    assert before == 2
    found = tune(candidates=["int8", "fp16"], cache=tmp_path / "cache")
    assert found.known == before
    assert max(Counter(files_run).values()) == 1


def test_two_searches_find_the_same_file(tune):
    first, second = tune(max_error=0.01), tune("again.onnx", max_error=0.01)
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.plans == second.plans


def test_a_candidate_that_is_not_faster_is_not_used(tune, files_run: list[bytes]):
    def timed(path: Path) -> float:
        kinds = {tensor.data_type for tensor in onnx.load(path).graph.initializer}
        slow, fast = TensorProto.INT8 in kinds, TensorProto.FLOAT8E4M3FN in kinds
        return 3.0 if slow else 1.0 if fast else 1.5 if TensorProto.FLOAT16 in kinds else 2.0

    found = tune(max_error=0.5, candidates=["int8", "fp8", "fp16"], timer=timed)
    assert found.candidates == ("fp8", "fp16")
    assert "int8 rejected: 3.000 ms is not faster than 2.000 ms of floating" in found.notes
    assert {layer.candidate for layer in found.layers} <= {"fp8", "fp16"}
    assert found.timing == "timed: floating 2.000 ms, all int8 3.000 ms, all fp8 1.000 ms, all fp16 1.500 ms"
    assert found.chosen.milliseconds == 1.0
    assert found.cost == "time"
    assert len(files_run) < 2 * len(LAYERS) + 20


def test_a_mixed_file_that_is_slower_than_half_is_not_written(tune):
    def timed(path: Path) -> float:
        kinds = {tensor.data_type for tensor in onnx.load(path).graph.initializer}
        mixed = {TensorProto.INT8, TensorProto.FLOAT16} <= kinds
        return 9.0 if mixed else 1.0 if TensorProto.INT8 in kinds else 1.5 if TensorProto.FLOAT16 in kinds else 2.0

    found = tune(candidates=["int8", "fp16"], timer=timed)
    assert found.chosen.title == "all fp16"
    rejected = [plan for plan in found.plans if plan.rejected]
    assert rejected
    assert all(plan.rejected.startswith("9.000 ms is not faster than 2.000 ms of floating") for plan in rejected)
    assert all(plan.holds and plan.title == "mixed" for plan in rejected)


def test_without_an_engine_nothing_is_said_to_be_timed(tune):
    found = tune(max_error=0.5, candidates=["int8"])
    assert found.timing.startswith("not timed: ")
    assert all(plan.milliseconds is None for plan in found.plans)


def test_where_no_file_holds_nothing_is_written(tune, tmp_path: Path):
    found = tune(max_error=0.0)
    assert not found.passed
    assert (found.path, found.chosen, found.quantized) == (None, None, 0)
    assert list(tmp_path.iterdir()) == []


def test_layers_may_be_measured_on_fewer_rows_but_files_are_not(tune):
    found = tune(max_error=0.01, samples=50)
    assert (found.rows, found.rows_alone) == (200, 64)
    assert found.chosen.measured.error == pytest.approx(tune("all.onnx", max_error=0.01).chosen.measured.error, rel=0.5)


def test_a_metric_of_the_users_own_is_held(tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "margins.py").write_text(
        "import numpy as np\n"
        "def spread(outputs, labels):\n"
        "    return outputs['y'].std(axis=-1)\n"
        "spread.lower_is_better = False\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = tune(metrics=["margins:spread"], max_drop=0.001, candidates=["int8", "fp16"])
    (metric,) = found.chosen.measured.metrics
    assert metric.name == "margins:spread"
    assert metric.drop <= 0.001
    assert found.values == {"margins:spread": 200}


def test_half_rounds_what_layers_multiply_and_give_though_the_cpu_has_no_kernels_of_half(tune, data: Path, model: Path):
    found = tune(max_error=1.0, candidates=["fp16"])
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(model).graph.initializer}
    with np.load(data) as stored:
        value = stored["x"]

    def half(array: np.ndarray) -> np.ndarray:
        return array.astype(np.float16).astype(np.float64)

    for name in LAYERS:
        value = value * weights["spread"] if name == RUINED else value
        value = half(half(value) @ half(weights[f"{name}_weight"]))
        value = value if name == "head" else np.tanh(value)
    exact = OnnxRuntimeBackend(model).run({"x": np.load(data)["x"]})["y"].astype(np.float64)
    expected = np.linalg.norm(value - exact) / np.linalg.norm(exact)
    assert found.chosen.title == "all fp16"
    assert found.chosen.measured.error == pytest.approx(expected, rel=0.05)


def test_candidates_that_the_opset_lacks_are_left_out_unless_they_are_asked_for(tmp_path: Path):
    model = save_chain(tmp_path / "old.onnx", opset=17)
    data = save_data(tmp_path / "data.npz", model)
    found = attnexport.tune(model, tmp_path / "tuned.onnx", data=data, max_error=0.5)
    assert found.candidates == ("int8", "int8-weights", "fp16")
    assert [note.split(":")[0] for note in found.notes if "opset" in note] == ["fp8 left out", "int4-weights left out"]
    with pytest.raises(InputError, match="fp8 needs opset 19, given 17"):
        attnexport.tune(model, tmp_path / "t.onnx", data=data, max_error=0.5, candidates=["fp8"])


def test_half_is_no_candidate_for_a_file_in_half(tmp_path: Path):
    model = save_chain(tmp_path / "half.onnx", element=TensorProto.FLOAT16)
    data = tmp_path / "data.npz"
    np.savez(data, x=np.random.default_rng(0).normal(size=(70, WIDTH)).astype(np.float32))
    found = attnexport.tune(model, tmp_path / "tuned.onnx", data=data, max_error=0.1)
    assert "fp16" not in found.candidates
    with pytest.raises(InputError, match="fp16 fits none of 4 layers"):
        attnexport.tune(model, tmp_path / "t.onnx", data=data, max_error=0.1, candidates=["fp16"])


def test_a_tuned_file_passes_the_gate(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory):
    converted = {of.parts[-2:]: file for of, file in libraries.converted_samples(tmp_path_factory).items()}
    with np.load(DIGITS / "test.npz") as stored:
        some = saved(tmp_path / "some.npz", image=stored["image"][:24], labels=stored["labels"][:24])
    bounds = {"metrics": ["accuracy"], "max_drop": 0.0, "max_error": 0.01}
    found = attnexport.tune(
        converted["digits", "krause.pt2"], tmp_path / "tuned.onnx", data=some, candidates=["int8"], **bounds
    )
    assert {layer.candidate for layer in found.layers} == {"int8", "floating"}
    assert found.path is not None
    report = attnexport.check(DIGITS / "krause.pt2", [str(found.path)], data=some, metrics=["accuracy"], max_drop=0.0)
    assert report.passed


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


X = np.random.default_rng(3).normal(size=(9, WIDTH)).astype(np.float32)
METRIC = {"metrics": ["accuracy"], "max_drop": 0.01}


@pytest.mark.parametrize(
    ("arrays", "options", "said"),
    [
        ({"x": X}, METRIC, "metrics accuracy: expected an array labels in .*bad.npz, rows 0 to 8, found none"),
        ({"x": X, "labels": np.zeros(8, int)}, METRIC, r"labels: expected 9 rows, given \(8,\) int64"),
        ({"x": X, "labels": np.full(9, CLASSES)}, METRIC, "labels: expected 0 to 9, given 10 to 10"),
        ({"x": X, "labels": np.zeros(9)}, METRIC, r"labels: expected integers, given \(9,\) float64"),
        (
            {"x": np.full_like(X, np.nan)},
            {"max_error": 0.1},
            "rows 0 to 8: tensor x: expected finite values, given 432",
        ),
        ({"x": X[:0]}, {"max_error": 0.1}, "expected at least one row, given none"),
        ({"x": X[:, 1:]}, {"max_error": 0.1}, r"expected x \(batch, 48\) float32, given \(9, 47\)"),
        ({"z": X}, {"max_error": 0.1}, "expected an array for input x"),
    ],
)
def test_data_that_does_not_fit_is_refused(tune, tmp_path: Path, arrays: dict, options: dict, said: str):
    with pytest.raises(InputError, match=said):
        tune(data=saved(tmp_path / "bad.npz", **arrays), **options)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.npz"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metrics": [], "max_drop": None}, "bounds: expected max_drop with metrics, max_error or all of them"),
        ({"metrics": [], "max_drop": 0.1}, "max_drop: expected together with metrics, given one of them"),
        ({"metrics": ["accuracy"], "max_drop": -0.1}, "max_drop: expected 0 or more, given -0.1"),
        ({"metrics": ["accuracy"], "max_drop": float("nan")}, "max_drop: expected 0 or more, given nan"),
        ({"max_error": -1.0}, "max_error: expected 0 or more, given -1"),
        ({"metrics": ["acuracy"], "max_drop": 0.1}, "did you mean accuracy"),
        ({"candidates": ["int7"]}, "candidates: expected int8, .*, given int7; did you mean int8"),
        ({"candidates": []}, "candidates: expected each once and at least one"),
        ({"candidates": ["int8", "int8"]}, "candidates: expected each once and at least one, given int8, int8"),
        ({"cost": "money"}, "cost: expected traffic, size, given money"),
        ({"samples": 0}, "samples: expected at least 1, given 0"),
        ({"method": "max"}, "method: expected minmax"),
        ({"data": "none.npz"}, "data none.npz: no such file or folder"),
        ({"calibration": "none.npz"}, "calibration none.npz: no such file or folder"),
        ({"ranges": "none.json"}, "none.json: no such file"),
        ({"calibration": __file__, "ranges": __file__}, "ranges: expected in place of calibration, given both"),
        ({"target": "rtx-41"}, "did you mean rtx-40"),
        ({"plugins": "none.so"}, "plugins: expected beside target"),
        ({"timer": lambda path: 1.0, "target": "rtx-40"}, "timer: expected in place of target, given both"),
    ],
)
def test_options_that_cannot_be_used_are_refused(tune, tmp_path: Path, options: dict, said: str):
    with pytest.raises(InputError, match=said):
        tune(**{"max_error": 0.1, **options} if "max_drop" not in options else options)
    assert list(tmp_path.iterdir()) == []


def test_a_quantized_file_and_outputs_that_cannot_be_written_are_refused(tune, model: Path, data: Path, tmp_path: Path):
    made = attnexport.quantize(model, tmp_path / "q.onnx", to="int8", data=data)
    with pytest.raises(InputError, match="expected a file without Q/DQ nodes, given one in int8"):
        attnexport.tune(made.path, tmp_path / "t.onnx", data=data, max_error=0.1)
    with pytest.raises(InputError, match="expected an existing folder to write into"):
        tune("none/tuned.onnx")
    with pytest.raises(InputError, match="expected a name for an ONNX file"):
        tune("tuned.engine")
    with pytest.raises(InputError, match="expected another name for the output"):
        attnexport.tune(model, model, data=data, max_error=0.1)


def test_a_floating_file_that_gives_nan_is_refused(tmp_path: Path):
    model = onnx.load(save_chain(tmp_path / "chain.onnx"))
    next(each for each in model.graph.node if each.op_type == "Tanh").op_type = "Log"
    onnx.save(model, tmp_path / "nan.onnx")
    with pytest.raises(InputError, match="tensor y: expected finite values"):
        attnexport.tune(tmp_path / "nan.onnx", tmp_path / "t.onnx", data=saved(tmp_path / "d.npz", x=X), max_error=0.1)


def test_a_file_of_which_every_layer_stays_floating_gives_what_the_floating_one_does(
    model: Path, data: Path, tmp_path: Path
):
    """It is not measured by tune, which takes its error for 0."""
    yardstick = Yardstick(model, [data], [find_metric("accuracy")], 0.0, tmp_path, unheard)
    writer, choice = Writer(model, LAYERS, None), (candidate(FLOATING),) * len(LAYERS)
    for write in (writer.write, writer.write_rounded):
        write(choice, tmp_path / "floating.onnx")
        assert yardstick.measure(tmp_path / "floating.onnx") == yardstick.floating


def test_a_head_that_is_the_embedding_is_tuned_like_other_layers(tmp_path: Path):
    path, data = save_tied(tmp_path / "tied.onnx")
    found = attnexport.tune(path, tmp_path / "tuned.onnx", data=data, max_error=0.1, candidates=["int8"])
    assert {layer.name: layer.candidate for layer in found.layers} == {"layer": "int8", HEAD: "int8"}
    assert all(layer.alone["int8"].error > 0 for layer in found.layers)
    assert found.path is not None
    nodes = onnx.load(found.path).graph.node
    dequantized = {node.output[0] for node in nodes if node.op_type == "DequantizeLinear"}
    products = [node for node in nodes if node.op_type == "MatMul"]
    assert len(products) == 3
    assert all(dequantized >= set(node.input) for node in products)


def test_what_should_be_known_of_the_data_for_ranges_is_told(tune, data: Path, tmp_path: Path):
    with np.load(data) as stored:
        wide = saved(tmp_path / "wide.npz", x=stored["x"].astype(np.float64), image=stored["x"])
    found = tune(max_error=0.5, candidates=["int8"], calibration=wide)
    assert found.ranges is not None
    assert len(found.ranges.notes) == 2
    assert set(found.ranges.notes) <= set(found.notes)
