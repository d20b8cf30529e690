"""attnexport.save: whole files, the same bytes each time, nothing of this machine in them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

import attnexport
from attnexport.errors import ConversionError, InputError
from attnexport.models.audit import audit_pt2
from attnexport.models.loading.programs import export_model
from attnexport.models.loading.sources import load_model
from tests.models.audit.honest import PROGRAMS, Batch, Block, Nested, Pair


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.LayerNorm(8))

    def forward(self, Tokens: Tensor, state: Any = None, *, scale: Tensor | None = None) -> Tensor:
        y: Tensor = self.layer(Tokens)
        if state is not None:
            y = y + state["Keys"][1].sum()
        return y if scale is None else y * scale


X = torch.ones(2, 6, 8)


def test_saved_file_loads_and_agrees(tmp_path: Path) -> None:
    model, path = Model(), tmp_path / "model.pt2"
    attnexport.save(model, path, args=X, dynamic_shapes={"Tokens": {0: "batch", 1: Dim("tokens", max=32)}})
    program = load_model(path).program
    assert program is not None
    other = torch.randn(3, 9, 8)
    assert torch.equal(program.module()(other), model.eval()(other))
    assert torch.equal(torch.export.load(str(path)).module()(other), model(other))
    with pytest.raises(AssertionError, match="Guard failed"):
        program.module()(torch.ones(2, 33, 8))


def test_training_flags_come_back(tmp_path: Path) -> None:
    model = Model().train()
    model.layer[2].eval()
    attnexport.save(model, tmp_path / "model.pt2", args=X)
    assert [part.training for part in model.modules()] == [True, True, True, True, False]
    program = load_model(tmp_path / "model.pt2").program
    assert program is not None
    assert not any("dropout" in str(node.target) and node.args[2] for node in program.graph.nodes)


def test_training_flags_come_back_after_a_failure(tmp_path: Path) -> None:
    model = Model().train()
    with pytest.raises(ConversionError):
        attnexport.save(model, tmp_path / "model.pt2", args=torch.ones(2, 6, 7))
    assert all(part.training for part in model.modules())


def test_nothing_of_this_machine_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(Model().eval(), (X,)), str(path))
    here = os.path.dirname(torch.__file__).encode()
    assert here in path.read_bytes()
    attnexport.save(Model(), path, args=X)
    data = path.read_bytes()
    for private in (here, os.getcwd().encode(), str(tmp_path).encode(), __file__.encode(), b"site-packages", b".py"):
        assert private not in data


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one.pt2", "two.pt2"):
        attnexport.save(Model(), tmp_path / name, args=X, dynamic_shapes={"Tokens": {0: "batch"}})
    assert (tmp_path / "one.pt2").read_bytes() == (tmp_path / "two.pt2").read_bytes()


@pytest.mark.parametrize("export", PROGRAMS, ids=lambda export: export.__name__)
@pytest.mark.filterwarnings("ignore")
def test_program_is_saved_as_it_is(export: Any, tmp_path: Path) -> None:
    program = export()
    traces = [node.meta.get("stack_trace") for node in program.graph.nodes]
    attnexport.save(program, tmp_path / "model.pt2")
    assert [node.meta.get("stack_trace") for node in program.graph.nodes] == traces
    audit_pt2(tmp_path / "model.pt2")
    assert load_model(tmp_path / "model.pt2").program is not None


def test_dim_names(tmp_path: Path) -> None:
    state = {"Keys": [torch.ones(3), torch.ones(6)]}
    tokens = Dim("tokens", min=2)
    shapes = {"Tokens": (Dim.AUTO, tokens, None), "state": {"Keys": [{0: "k"}, {0: tokens}]}, "scale": {0: Dim.DYNAMIC}}
    kwargs = {"scale": torch.ones(6, 1)}
    expected = {"tokens": {1: "tokens"}, "state_keys_0": {0: "k"}, "state_keys_1": {0: "tokens"}}
    assert export_model(Model(), (X, state), kwargs, shapes).dim_names == expected
    path = tmp_path / "model.pt2"
    attnexport.save(Model(), path, args=(X, state), kwargs=kwargs, dynamic_shapes=shapes)
    loaded = load_model(path)
    assert loaded.dim_names == expected
    assert loaded.program is not None
    assert set(expected) <= set(loaded.program.graph_signature.user_inputs)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({"Tokens": {0: "batch"}}, {0: "batch"}),
        (({0: "batch"},), {0: "batch"}),
        ({"Tokens": {1: 2 * Dim("half")}}, {1: "2*half"}),
        ({"Tokens": {1: "2*half"}}, {1: "2*half"}),
    ],
)
def test_dim_names_of_plain_tensors_are_those_of_forward(shapes: Any, expected: dict[int, str]) -> None:
    assert export_model(Model(), X, None, shapes).dim_names == {"Tokens": expected}


def test_dim_names_can_be_given_for_a_program(tmp_path: Path) -> None:
    program = torch.export.export(Model().eval(), (X,), dynamic_shapes={"Tokens": {0: Dim.DYNAMIC}})
    attnexport.save(program, tmp_path / "model.pt2", dynamic_shapes={"Tokens": {0: "batch"}})
    assert load_model(tmp_path / "model.pt2").dim_names == {"Tokens": {0: "batch"}}


def test_dynamic_shapes_may_leave_inputs_out(tmp_path: Path) -> None:
    extra = {"k": [torch.ones(8)]}
    attnexport.save(Block(), tmp_path / "model.pt2", args=(X, extra), dynamic_shapes={"x": {0: "batch"}})
    assert load_model(tmp_path / "model.pt2").dim_names == {"x": {0: "batch"}}


def test_inputs_of_registered_types(tmp_path: Path) -> None:
    args = (Pair(torch.ones(3), torch.ones(3)), Batch(torch.ones(3)), True, "plain", 2.0, {"b": torch.ones(2)})
    shapes = {"pair": ({0: "n"}, {0: "n"}), "batch": {"tokens": {0: "n"}}}
    attnexport.save(Nested(), tmp_path / "model.pt2", args=args, dynamic_shapes=shapes)
    loaded = load_model(tmp_path / "model.pt2")
    assert loaded.dim_names == {"pair_first": {0: "n"}, "pair_second": {0: "n"}, "batch_tokens": {0: "n"}}


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a name that ends in \.pt2"):
        attnexport.save(Model(), tmp_path / "model.onnx", args=X)
    with pytest.raises(InputError, match="expected an existing folder"):
        attnexport.save(Model(), tmp_path / "absent" / "model.pt2", args=X)
    text = (Pair(X, X), Batch(X), True, "it's plain", 2.0, {"b": X})
    with pytest.raises(ConversionError, match="could end up as Python code"):
        attnexport.save(Nested(), tmp_path / "model.pt2", args=text)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pt2"
    path.write_bytes(b"old")

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left on device"):
        attnexport.save(Model(), path, args=X)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.pt2"]


def test_example_that_is_a_view_brings_only_itself(tmp_path):
    rows = torch.randn(10_000, 4)
    attnexport.save(nn.Linear(4, 2), tmp_path / "view.pt2", args=(rows[:2],))
    attnexport.save(nn.Linear(4, 2), tmp_path / "own.pt2", args=(rows[:2].clone(),))
    assert (tmp_path / "view.pt2").stat().st_size < 1.1 * (tmp_path / "own.pt2").stat().st_size
