"""attnexport check: exit codes, data, the report, contenders, metrics, budgets and the cache."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.files.outputs import sha256
from tests.cli.commands import Run
from tests.cli.models import CLASSES, WIDTH, small

ROWS, TOKENS = 70, 11


def inputs(rows: int = ROWS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, TOKENS, WIDTH)).astype(np.float32)


def predictions(x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return small()(torch.from_numpy(x)).argmax(-1).numpy()


@pytest.fixture(scope="module")
def labelled(folder: Path) -> Path:
    """Data whose labels are the model's own predictions but for the first row."""
    path = folder / "labelled.npz"
    x = inputs()
    labels = predictions(x)
    labels[0] = (labels[0] + 1) % CLASSES
    np.savez(path, x=x, labels=labels)
    return path


def edited(converted: Path, tmp_path: Path, edit) -> Path:
    model = onnx.load(converted)
    edit(model)
    path = tmp_path / "edited.onnx"
    onnx.save(model, path)
    return path


def test_converted_file_is_within_budget(run: Run, saved: Path, converted: Path):
    result = run("check", saved, converted)
    assert (result.code, result.err) == (0, "")
    assert "within" in result.out
    assert "OUTSIDE" not in result.out
    assert "note:" not in result.out
    assert "predictions" not in result.out


def test_perturbed_weight_is_outside_the_budget(run: Run, saved: Path, converted: Path, tmp_path: Path):
    def perturb(model: onnx.ModelProto) -> None:
        weight = next(entry for entry in model.graph.initializer if entry.name == "head.bias")
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + np.float32(1e-3), weight.name))

    path = edited(converted, tmp_path, perturb)
    report = tmp_path / "report.json"
    result = run("check", saved, path, "--json", report)
    assert result.code == 1
    (line,) = result.err.splitlines()
    assert line.startswith(f"attnexport: {path}: output, ")
    assert ": largest error 0.001 is " in line
    assert "; outside too: normal, " in line
    assert line.endswith("; try: --bisect, which names the layer")
    assert "OUTSIDE" in result.out
    written = json.loads(report.read_text())
    assert not written["passed"]
    (contender,) = written["contenders"]
    errors = {kind["kind"]: kind["largest_error"] for kind in contender["outputs"][0]["kinds"]}
    assert errors.keys() >= {"normal", "large", "constant", "one-hot", "length-1", "long", "maximum"}
    assert errors["normal"] == pytest.approx(1e-3, rel=0.01)
    assert f"attnexport: {contender['failures'][0]['line']}" == line
    assert run("check", saved, path, "--warn-only", "--kinds", "normal").code == 0


def test_swapped_inputs_of_a_node_are_outside_the_budget(run: Run, saved: Path, converted: Path, tmp_path: Path):
    def swap(model: onnx.ModelProto) -> None:
        node = next(node for node in model.graph.node if node.op_type == "KrauseAttention")
        node.input[0], node.input[1] = node.input[1], node.input[0]

    path = edited(converted, tmp_path, swap)
    result = run("check", saved, path)
    assert result.code == 1
    assert result.err.startswith(f"attnexport: {path}: output, ")


def test_labels_give_the_accuracy_of_both(run: Run, saved: Path, converted: Path, labelled: Path, tmp_path: Path):
    report = tmp_path / "report.json"
    result = run("check", saved, converted, "--data", labelled, "--json", report)
    assert (result.code, result.err) == (0, "")
    accuracy = 1 - 1 / ROWS
    assert f"accuracy {accuracy:.2%} in PyTorch, {accuracy:.2%} here" in result.text
    task = json.loads(report.read_text())["contenders"][0]["predictions"]
    assert task["compared"] == ROWS * TOKENS
    assert task["agreement"] == 1.0
    assert task["accuracy_reference"] == task["accuracy_contender"] == pytest.approx(accuracy)


def test_folder_of_data_is_read_whole(run: Run, saved: Path, converted: Path, tmp_path: Path):
    for seed in (0, 1):
        np.savez(tmp_path / f"part{seed}.npz", x=inputs(7, seed))
    result = run("check", saved, converted, "--data", tmp_path)
    assert (result.code, result.err) == (0, "")
    assert f"100.00% of {2 * 7 * TOKENS} agree" in result.text
    assert "accuracy" not in result.text


def test_json_holds_what_numpy_computes(run: Run, saved: Path, converted: Path, labelled: Path, tmp_path: Path):
    report = tmp_path / "report.json"
    run("check", saved, converted, "--data", labelled, "--json", report)
    written = json.loads(report.read_text())
    x = inputs()
    (given,) = OnnxRuntimeBackend(converted).run({"x": x}).values()
    with torch.no_grad():
        exact = small().double()(torch.from_numpy(x).double()).numpy()
        own = small()(torch.from_numpy(x)).numpy()
    (contender,) = written["contenders"]
    (output,) = contender["outputs"]
    assert (output["name"], output["dtype"], output["passed"]) == ("output", "float32", True)
    (output,) = output["kinds"]
    assert (output["kind"], output["not_finite"]) == ("data", 0)
    assert output["largest_error"] == pytest.approx(np.abs(given - exact).max(), rel=0.3)
    assert output["budget"]["torch_error"] == pytest.approx(np.abs(own - exact).max(), rel=0.3)
    assert output["relative_l2"] == pytest.approx(np.linalg.norm(given - exact) / np.linalg.norm(exact), rel=0.3)
    assert output["cosine"] == pytest.approx(1.0)
    assert written["passed"]
    assert written["batches"] == 2
    assert (written["model"]["sha256"], contender["facts"]["sha256"]) == (sha256(saved), sha256(converted))
    histogram = output["histogram"]
    assert sum(histogram["counts"]) + histogram["exact"] == output["elements"] == given.size


def test_file_of_other_weights_fails_with_a_note(run: Run, converted: Path, tmp_path: Path):
    weights = tmp_path / "other.pt"
    model = small()
    model.head.bias.data += 1
    torch.save(model.state_dict(), weights)
    options = ("--model", "tests.cli.models:small", "--inputs", f"x=2x9x{WIDTH}", "--seeds", 1)
    result = run("check", weights, converted, *options)
    assert result.code == 1
    assert "was converted from another model, or from other weights" in result.text


def report_of(run: Run, tmp_path: Path, *args: object) -> tuple[int, dict]:
    """Exit code and JSON report of a check on ordinary inputs."""
    path = tmp_path / "report.json"
    result = run("check", *args, "--json", path)
    assert result.code in (0, 1), result
    return result.code, json.loads(path.read_text())


def rename_output(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        for position, name in enumerate(node.output):
            if name == "output":
                node.output[position] = "scores"
    model.graph.output[0].name = "scores"


def test_renamed_output_is_matched_by_position(run: Run, saved: Path, converted: Path, tmp_path: Path):
    result = run("check", saved, edited(converted, tmp_path, rename_output), "--kinds", "normal")
    assert (result.code, result.err) == (0, "")
    assert "note: outputs were matched by position: output in the model, scores in the file" in result.text


def test_one_nan_fails_with_its_place(run: Run, saved: Path, converted: Path, tmp_path: Path):
    def poison(model: onnx.ModelProto) -> None:
        bias = next(entry for entry in model.graph.initializer if entry.name == "head.bias")
        values = numpy_helper.to_array(bias).copy()
        values[3] = np.nan
        bias.CopyFrom(numpy_helper.from_array(values, bias.name))

    path = edited(converted, tmp_path, poison)
    result = run("check", saved, path, "--kinds", "normal", "--seeds", 1)
    assert result.code == 1
    assert result.err == (
        f"attnexport: {path}: output, normal inputs at normal-0[0, 0, 3]: values that are NaN or infinite: "
        "18 of 90; try: --bisect, which names the layer\n"
    )
    assert "18 not finite" in result.out


def test_size_that_the_file_fixed_fails_there(run: Run, saved: Path, converted: Path, tmp_path: Path):
    """A dynamic dim that became static on the way: the file runs at the example's size alone."""

    def fix_batch(model: onnx.ModelProto) -> None:
        dim = model.graph.input[0].type.tensor_type.shape.dim[0]
        dim.Clear()
        dim.dim_value = 2

    result = run("check", saved, edited(converted, tmp_path, fix_batch), "--kinds", "normal,minimum")
    assert result.code == 1
    (line,) = result.err.splitlines()
    assert "edited.onnx: minimum-0 (x 1x9x16): does not run where the model does: ONNX Runtime cannot run it: " in line
    assert line.endswith("with these sizes in the declared range, or choose other inputs with --kinds")


def test_bisect_and_hazards(run: Run, saved: Path, converted: Path, tmp_path: Path):
    def perturb(model: onnx.ModelProto) -> None:
        weight = next(entry for entry in model.graph.initializer if entry.name == "norm.weight")
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + np.float32(1e-2), weight.name))

    path, report = edited(converted, tmp_path, perturb), tmp_path / "report.json"
    result = run("check", saved, path, "--kinds", "normal", "--seeds", 1, "--bisect", "--hazards", "--json", report)
    assert result.code == 1
    output, layer = result.err.splitlines()
    assert output.endswith("; try: layer norm first, see below")
    assert layer.startswith(f"attnexport: {path}: layer norm (aten.layer_norm")
    assert "FIRST OUTSIDE" in result.out
    written = json.loads(report.read_text())
    assert written["contenders"][0]["bisection"]["guilty"]["layer"] == "norm"
    assert {hazard["layer"] for hazard in written["hazards"]} == {"krause", "hla"}
    fine = run("check", saved, converted, "--kinds", "normal", "--bisect")
    assert (fine.code, fine.err) == (0, "")
    assert "Errors inside the file" not in fine.out


def test_several_contenders_are_held_to_their_own_precision(run: Run, saved: Path, converted: Path, tmp_path: Path):
    code, report = report_of(run, tmp_path, saved, f"ort:{converted}", "torch:fp16", "torch:bf16", "--kinds", "normal")
    facts = [contender["facts"] for contender in report["contenders"]]
    assert code == 0
    assert [fact["precision"] for fact in facts] == ["fp32", "fp16", "bf16"]
    errors = [contender["outputs"][0]["kinds"][0]["largest_error"] for contender in report["contenders"]]
    assert errors[0] < errors[1] / 100 < errors[2] / 100


def test_half_precision_does_not_pass_as_single(run: Run, saved: Path, tmp_path: Path):
    code, report = report_of(run, tmp_path, saved, "torch:fp16", "--precision", "fp32", "--kinds", "normal")
    assert code == 1
    assert report["contenders"][0]["facts"]["precision_source"] == "as given by --precision"


def test_reference_comes_from_the_cache_the_second_time(run: Run, saved: Path, converted: Path, tmp_path: Path):
    options = (saved, converted, "--kinds", "normal,one-hot")
    cache = ("--cache", tmp_path / "cache")
    _, first = report_of(run, tmp_path, *options, *cache)
    _, second = report_of(run, tmp_path, *options, *cache)
    assert (first["times"]["cached"], second["times"]["cached"]) == (0, 6 + 6)
    assert first["contenders"][0]["outputs"] == second["contenders"][0]["outputs"]
    _, third = report_of(run, tmp_path, *options, "--no-cache")
    assert third["times"]["cached"] == 0


def test_a_cache_and_none_at_all_is_refused(run: Run, saved: Path, converted: Path, tmp_path: Path):
    result = run("check", saved, converted, "--cache", tmp_path / "cache", "--no-cache")
    assert (result.code, result.err) == (2, "attnexport: --cache: expected in place of --no-cache, given both\n")
    assert not (tmp_path / "cache").exists()


def test_perplexity_may_only_rise_as_far_as_allowed(run: Run, saved: Path, labelled: Path, tmp_path: Path):
    options = (saved, "torch:bf16", "--data", labelled, "--metric", "perplexity", "--max-drop")
    x = inputs()
    with np.load(labelled) as data:
        labels = torch.from_numpy(data["labels"]).flatten()
    with torch.no_grad():
        scores = small().double()(torch.from_numpy(x).double()).flatten(0, 1)
    wanted = torch.nn.functional.cross_entropy(scores, labels).exp().item()
    code, report = report_of(run, tmp_path, *options, 0.5)
    (metric,) = report["contenders"][0]["metrics"]
    assert (code, metric["passed"]) == (0, True)
    assert metric["reference"] == pytest.approx(wanted, rel=1e-6)
    assert metric["drop"] == pytest.approx(metric["contender"] - metric["reference"])
    result = run("check", *options, metric["drop"] - 1)
    assert result.code == 1
    assert result.err.startswith("attnexport: torch:bf16: metric perplexity: ")
    assert "worse by " in result.err


def test_budget_file_allows_what_it_gives_a_reason_for(run: Run, saved: Path, converted: Path, tmp_path: Path):
    def perturb(model: onnx.ModelProto) -> None:
        weight = next(entry for entry in model.graph.initializer if entry.name == "head.bias")
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + np.float32(1e-3), weight.name))

    path, budget = edited(converted, tmp_path, perturb), tmp_path / "budget.toml"
    budget.write_text('[outputs.output]\nlimit = 2e-3\nreason = "the bias was rounded on purpose"\n')
    result = run("check", saved, path, "--kinds", "normal", "--budget", budget)
    assert (result.code, result.err) == (0, "")
    assert "budget: output is allowed an error of 0.002: the bias was rounded on purpose" in result.text


def test_recorded_outputs_of_a_data_file_are_cut_as_its_rows_are(
    run: Run, saved: Path, converted: Path, tmp_path: Path
):
    data, outputs = tmp_path / "data.npz", tmp_path / "outputs.npz"
    np.savez(data, x=inputs())
    (given,) = OnnxRuntimeBackend(converted).run({"x": inputs()}).values()
    np.savez(outputs, output=given)
    assert run("check", saved, outputs, "--data", data).code == 0
    given[69, 0, 0] += 1
    np.savez(outputs, output=given)
    result = run("check", saved, outputs, "--data", data)
    assert result.code == 1
    assert f"data at {data}[64:70][5, 0, 0]: largest error 1 " in result.err


def test_every_repetition_runs(run: Run, saved: Path, converted: Path, tmp_path: Path):
    _, report = report_of(run, tmp_path, saved, converted, "--repeat", 3, "--kinds", "normal", "--seeds", 2)
    repeated = report["contenders"][0]["repeatability"]
    assert (repeated["runs"], len(repeated["seconds"])) == (3, 6)
    assert repeated["bit_equal"] == all(spread["differing"] == 0 for spread in repeated["spreads"])


def test_compare_tells_what_became_worse(run: Run, saved: Path, converted: Path, tmp_path: Path):
    def perturb(model: onnx.ModelProto) -> None:
        weight = next(entry for entry in model.graph.initializer if entry.name == "head.bias")
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + np.float32(1e-3), weight.name))

    path = edited(converted, tmp_path, perturb)
    before, after, page = tmp_path / "before.json", tmp_path / "after.json", tmp_path / "changes.html"
    assert run("check", saved, converted, "--kinds", "normal", "--json", before).code == 0
    assert run("check", saved, path, "--kinds", "normal", "--json", after).code == 1
    worse = run("compare", before, after, "--html", page)
    assert worse.code == 1
    assert worse.out.splitlines()[-1] == f"FAILED {after}: 1 figure that passed now fails"
    assert "now fails" in page.read_text(encoding="utf-8")
    better = run("compare", after, before)
    assert (better.code, better.err) == (0, "")
    assert better.out.splitlines()[-1] == f"PASSED {before}: nothing that passed now fails; 1 figure better"
    assert "inputs differ" not in worse.out
    assert run("compare", before, before, "--json", "-").code == 0
    refused = run("compare", before, converted)
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)
    assert refused.err.startswith(f"attnexport: {converted}: ")


def test_pytorch_alone_is_the_yardstick_and_not_judged(run: Run, saved: Path):
    result = run("check", saved, "torch:fp16", "--kinds", "normal")
    assert (result.code, result.err) == (0, "")
    (last,) = result.out.splitlines()[-1:]
    assert last.startswith("UNJUDGED torch:fp16: nothing was judged: these are PyTorch's own errors")
    assert "within" not in result.out
