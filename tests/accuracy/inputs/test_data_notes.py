"""What a user is told of data without having asked: arrays that nothing takes, and those read in another type."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import attnexport


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(8, 4)

    def forward(self, ids: Tensor, x: Tensor) -> Tensor:
        return self.table(ids) + x


@pytest.fixture(scope="module")
def model() -> attnexport.Model:
    """Takes ids (n) int32 and x (n, 4) float32."""
    args = (torch.zeros(3, dtype=torch.int32), torch.ones(3, 4))
    net = Net().eval()
    program = torch.export.export(net, args, dynamic_shapes=({0: torch.export.Dim("n", max=99)},) * 2)
    return attnexport.load_model(_saved(program, args))


def _saved(program: torch.export.ExportedProgram, args: tuple[Tensor, ...]) -> str:
    attnexport.save(program, "ids.pt2", args=args)
    return "ids.pt2"


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory):
    """The current folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("notes"))
        yield


def save(name: str, *, ids: type = np.int32, x: type = np.float32, **others: np.ndarray) -> str:
    np.savez(name, ids=np.zeros(5, ids), x=np.ones((5, 4), x), **others)
    return name


EXTRA = "x.npz: no input takes mask, weight"
CAST = ("x.npz: input ids is read as int32, given int64", "x.npz: input x is read as float32, given float64")


def notes_of_data(notes: tuple[str, ...]) -> list[str]:
    return [note for note in notes if ".npz" in note]


def test_check_and_record_name_what_no_input_takes_and_what_is_cast(model: attnexport.Model):
    data = save("x.npz", ids=np.int64, x=np.float64, mask=np.ones(5), weight=np.ones(5), labels=np.ones(5, int))
    report = attnexport.check(model, ["torch:fp32"], data=data)
    assert notes_of_data(report.notes) == [EXTRA, *CAST]
    report.save("r.json")
    assert set(json.loads(Path("r.json").read_text())["notes"]) >= {EXTRA, *CAST}
    assert notes_of_data(attnexport.record(model, "set", data=data, precisions=["fp32"]).notes) == [EXTRA, *CAST]


def test_data_as_the_model_takes_it_needs_no_note(model: attnexport.Model):
    data = save("plain.npz", labels=np.ones(5, int))
    assert notes_of_data(attnexport.check(model, ["torch:fp32"], data=data).notes) == []


def test_what_is_so_in_many_files_is_said_once(model: attnexport.Model, tmp_path: Path):
    for number in range(5):
        save(str(tmp_path / f"{number}.npz"), ids=np.int64)
    (note,) = notes_of_data(attnexport.check(model, ["torch:fp32"], data=tmp_path).notes)
    assert note.endswith("2.npz and 2 more: input ids is read as int32, given int64")


def test_run_tells_of_them_too(model: attnexport.Model):
    data = save("x.npz", ids=np.int64, x=np.float64, mask=np.ones(5), weight=np.ones(5))
    attnexport.convert(model, None, "ids.onnx")
    assert notes_of_data(attnexport.run("ids.onnx", data).report.notes) == [EXTRA, *CAST]
