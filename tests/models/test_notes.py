"""What a user is told of a model without having asked: sizes that stay, weights that nobody gave, training mode."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

import attnexport
from attnexport.messages import to_the_command_line


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(x))


X = torch.ones(2, 4)
BATCH = {"x": {0: "batch"}}
STAYS = "input stays as in the example, x (2, 4): "
TRAINED = "was in training mode: it was exported in eval mode"


def load(model: nn.Module, folder: Path, **dims: object) -> attnexport.Model:
    """The model by way of a .pt2."""
    attnexport.save(model, folder / "m.pt2", args=X, **dims)
    return attnexport.load_model(folder / "m.pt2")


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """noted_nets:build in the current folder."""
    (tmp_path / "noted_nets.py").write_text("from torch import nn\n\n\ndef build():\n    return nn.Linear(4, 3)\n")
    monkeypatch.chdir(tmp_path)


def test_inputs_without_a_dynamic_dim_are_named_with_their_sizes(tmp_path: Path):
    static = attnexport.convert(Net().eval(), X, tmp_path / "m.onnx")
    assert f"{STAYS}dynamic_shapes was not given" in static.notes
    assert f"{STAYS}the program was exported without dynamic_shapes" in load(Net().eval(), tmp_path).notes
    dynamic = attnexport.convert(Net().eval(), X, tmp_path / "m.onnx", dynamic_shapes=BATCH)
    assert not [note for note in dynamic.notes if "as in the example" in note]
    assert load(Net().eval(), tmp_path, dynamic_shapes=BATCH).notes == ()


def test_a_dim_that_was_left_to_torch_and_fixed_is_named(tmp_path: Path):
    with pytest.warns(UserWarning, match=r"x axis 1: declared as AUTO, and torch fixed it at 4"):
        model = load(Net().eval(), tmp_path, dynamic_shapes={"x": {1: Dim.AUTO}})
    assert not [note for note in model.notes if "without dynamic_shapes" in note]
    (note,) = attnexport.record(model, tmp_path / "set", kinds="normal", seeds=1, precisions=["fp32"]).notes
    assert note.startswith("x axis 1: declared as AUTO, and torch fixed it at 4")


def test_check_tells_of_them_too(tmp_path: Path):
    attnexport.convert(Net().eval(), X, tmp_path / "m.onnx")
    net = Net().eval()
    report = attnexport.check(net, ["torch:fp32"], X, kinds="normal", seeds=1)
    assert f"{STAYS}dynamic_shapes was not given" in report.notes


def test_a_model_in_training_mode_is_told_of_and_left_in_it(tmp_path: Path):
    net = Net()
    result = attnexport.convert(net, X, tmp_path / "m.onnx", dynamic_shapes=BATCH)
    (note,) = (note for note in result.notes if "training" in note)
    assert note.startswith(f"the model {TRAINED}")
    assert net.training
    with pytest.warns(UserWarning, match=f"m.pt2: the model {TRAINED}"):
        attnexport.save(net, tmp_path / "m.pt2", args=X)
    net.eval().drop.train()
    report = attnexport.check(net, ["torch:fp32"], X, dynamic_shapes=BATCH, kinds="normal", seeds=1)
    assert [note for note in report.notes if note.startswith(f"drop of the model {TRAINED}")]


def test_a_model_in_eval_mode_is_not(tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        attnexport.save(Net().eval(), tmp_path / "m.pt2", args=X)


@pytest.mark.usefixtures("factories")
def test_a_factory_without_weights_is_told_of():
    said = 'factory="noted_nets:build": no weights were given: the model has those that it was built with'
    bare = attnexport.load_model(None, X, factory="noted_nets:build", dynamic_shapes={"input": {0: "n"}})
    assert [note for note in bare.notes if note.startswith(said)]
    torch.save(nn.Linear(4, 3).state_dict(), "w.pt")
    for given in ({"path": "w.pt"}, {"path": None, "weights": "w.pt"}):
        model = attnexport.load_model(args=X, factory="noted_nets:build", dynamic_shapes={"input": {0: "n"}}, **given)
        assert model.notes == ()


@pytest.mark.usefixtures("factories")
def test_the_command_line_is_told_of_its_options():
    with to_the_command_line():
        model = attnexport.load_model(None, X, factory="noted_nets:build")
    assert model.notes[0] == "input stays as in the example, input (2, 4): --dynamic was not given"
    assert model.notes[1].startswith("--model noted_nets:build: no weights were given")
