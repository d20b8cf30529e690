"""convert, check, record and run on models that keep state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import Tensor

import attnexport
from attnexport.backends.onnxruntime import OnnxRuntimeBackend
from attnexport.graph.state import read_state
from tests.cli.commands import Refuse, Result, Run
from tests.models.state.models import UnreadCounter, Writes, example

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Decoder(Writes):
    """Writes its input into the place of a cache that a counter points to, and attends to what is there."""

    def forward(self, x: Tensor) -> Tensor:
        self.memory.cache.index_copy_(1, self.memory.seen.view(1), x[:, :1])
        self.memory.seen.add_(1)
        return self.attention(x + self.memory.cache)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("state") / "decoder.pt2"
    attnexport.save(Decoder(), path, args=example())
    return path


@pytest.fixture(scope="module")
def with_state(decoder: Path) -> Path:
    path = decoder.with_name("decoder.onnx")
    attnexport.convert(attnexport.load_model(decoder).program, None, path, state="io")
    return path


def command(run: Run, *args: object) -> Result:
    return run(*args, "--trust-model")


def test_state_that_a_file_cannot_hold_is_refused_by_name(refuse: Refuse, decoder: Path, tmp_path: Path):
    line = refuse("convert", decoder, "-o", tmp_path / "m.onnx", "--trust-model")
    assert "buffers memory.cache, memory.seen: " in line
    assert "--state io" in line


def test_file_with_state_inputs_follows_the_live_model(with_state: Path):
    backend, model = OnnxRuntimeBackend(with_state), Decoder().eval()
    assert backend.input_names == ("x", "memory.cache", "memory.seen")
    assert backend.output_names == ("output", "memory.cache_next", "memory.seen_next")
    noted = read_state(ir.load(with_state))
    assert [(state.input, state.output) for state in noted] == list(
        zip(backend.input_names[1:], backend.output_names[1:], strict=True)
    )
    state: dict[str, Any] = {one.input: one.initial for one in noted}
    for call in range(3):
        x = example() + call
        outputs = backend.run({"x": x.numpy(), **state})
        with torch.no_grad():
            assert np.allclose(outputs["output"], model(x).numpy(), atol=1e-5)
        state = {one.input: outputs[one.output] for one in noted}
    assert state["memory.seen"] == 4


def test_check_feeds_state_and_compares_what_follows(run: Run, decoder: Path, with_state: Path):
    result = command(run, "check", decoder, with_state, "--kinds", "normal", "--no-cache")
    assert (result.code, result.err) == (0, "")
    for text in ("memory.cache_next", "memory.seen_next", "buffer memory.cache is an input", "3 normal"):
        assert text in result.text


def test_check_finds_a_cache_that_is_not_read(run: Run, decoder: Path, with_state: Path, tmp_path: Path):
    """On the first call the cache holds zeros, so that only later ones tell."""
    model = ir.load(with_state)
    cache = next(value for value in model.graph.inputs if value.name == "memory.cache")
    tape = ir.tape.Tape()
    zeros = tape.op("Sub", [cache, cache])
    subtraction = zeros.producer()
    assert subtraction is not None
    for node, position in list(cache.uses()):
        if node is not subtraction:
            node.replace_input_with(position, zeros)
    model.graph.insert_before(model.graph[0], [subtraction])
    ir.save(model, tmp_path / "forgets.onnx")
    result = command(run, "check", decoder, tmp_path / "forgets.onnx", "--kinds", "normal", "--no-cache")
    assert result.code == 1


def test_file_without_state_inputs_is_refused(refuse: Refuse, decoder: Path, tmp_path: Path):
    class Stateless(Writes):
        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x)

    attnexport.convert(Stateless(), (example(),), tmp_path / "m.onnx")
    line = refuse("check", decoder, tmp_path / "m.onnx", "--trust-model", "--no-cache")
    assert "has no input for the buffers memory.cache, memory.seen" in line


def test_recorded_set_holds_state(run: Run, decoder: Path, with_state: Path, tmp_path: Path):
    recording = command(run, "record", decoder, "-o", tmp_path / "set", "--kinds", "normal", "--precisions", "fp32")
    assert recording.code == 0
    with np.load(tmp_path / "set" / "inputs" / "normal-1.npz") as inputs:
        assert inputs["memory.seen"] == 2
    result = command(run, "check", decoder, with_state, "--data", tmp_path / "set", "--no-cache")
    assert (result.code, result.err) == (0, "")


def test_data_without_state_starts_from_what_the_model_came_with(
    run: Run,
    decoder: Path,
    with_state: Path,
    tmp_path: Path,
):
    np.savez(tmp_path / "in.npz", x=np.concatenate([example().numpy()] * 3))
    result = command(run, "check", decoder, with_state, "--data", tmp_path / "in.npz", "--no-cache")
    assert (result.code, result.err) == (0, "")
    assert "3 data" in result.text


def test_run_starts_from_what_the_file_holds_or_is_given(run: Run, with_state: Path, tmp_path: Path):
    np.savez(tmp_path / "in.npz", x=example().numpy())
    for given, wanted in (({}, 2), ({"memory.seen": np.array(3)}, 4)):
        np.savez(tmp_path / "in.npz", x=example().numpy(), **given)
        result = run("run", with_state, "--data", tmp_path / "in.npz", "-o", tmp_path / "out.npz")
        assert (result.code, result.err) == (0, "")
        assert ("input memory.seen starts from what the file holds" in result.text) == (not given)
        with np.load(tmp_path / "out.npz") as outputs:
            assert outputs["memory.seen_next"] == wanted


def test_unread_buffer_is_left_out_by_every_command(run: Run, tmp_path: Path):
    attnexport.save(UnreadCounter(), tmp_path / "m.pt2", args=example())
    for args in (
        ("convert", tmp_path / "m.pt2", "-o", tmp_path / "m.onnx"),
        ("check", tmp_path / "m.pt2", tmp_path / "m.onnx", "--kinds", "normal", "--no-cache"),
    ):
        result = command(run, *args)
        assert (result.code, result.err) == (0, "")
        assert "note: buffer memory.seen: forward writes it and no output depends on it" in result.text


def test_note_on_state_that_is_none_of_ours_is_passed_over(with_state: Path):
    model = ir.load(with_state)
    good = model.metadata_props["attnexport.state"]
    for bad in (
        "",
        "{",
        "[1]",
        '[{"input": "x"}]',
        good.replace("eJ", "!!"),
        good.replace('"shape": [', '"shape": [9,'),
    ):
        model.metadata_props["attnexport.state"] = bad
        assert read_state(model) == ()
