"""Inputs for check cut from .npz files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from attnexport.accuracy.inputs.data_files import data_files
from attnexport.accuracy.inputs.files import BATCH, data_batches, whole_file
from attnexport.errors import InputError
from attnexport.models.model import Model

DIM_NAMES = {"x": {0: "batch", 1: "tokens"}, "lengths": {0: "batch"}}


class Sum(nn.Module):
    def forward(self, x: Tensor, lengths: Tensor, table: Tensor) -> Tensor:
        return x * lengths[:, None] + table.sum()


class Scaled(nn.Module):
    def forward(self, scale: Tensor, x: Tensor) -> Tensor:
        return x * scale


class Cross(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x @ y.T


def export(module: nn.Module, *args: Tensor, **shapes) -> torch.export.ExportedProgram:
    return torch.export.export(module, args, dynamic_shapes=shapes or None, strict=False)


def sum_program(batch=None, tokens=None) -> torch.export.ExportedProgram:
    """x (batch, tokens) float32, lengths (batch,) int64 of 1 to 4, table (3, 2) float16."""
    batch, tokens = batch or Dim("batch"), tokens or Dim("tokens")
    args = (torch.randn(4, 5), torch.tensor([1, 2, 3, 4]), torch.ones(3, 2, dtype=torch.float16))
    return export(Sum(), *args, x={0: batch, 1: tokens}, lengths={0: batch}, table=None)


@pytest.fixture(scope="module")
def dynamic() -> torch.export.ExportedProgram:
    return sum_program()


@pytest.fixture(scope="module")
def static() -> torch.export.ExportedProgram:
    return export(Sum(), torch.randn(4, 5), torch.ones(4, dtype=torch.int64), torch.ones(3, 2))


def arrays(rows: int, tokens: int = 5) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "x": random.standard_normal((rows, tokens)).astype(np.float32),
        "lengths": random.integers(1, 5, rows),
        "table": np.ones((3, 2), np.float32),
    }


def saved(tmp_path, name="data.npz", **content):
    path = tmp_path / name
    np.savez(path, **content)
    return path


def sizes_of(batches) -> list[int]:
    return [batch.rows for batch in batches]


@pytest.mark.parametrize(("rows", "sizes"), [(1, [1]), (BATCH, [64]), (150, [64, 64, 22])])
def test_dynamic_batch_runs_in_pieces_of_64(dynamic, tmp_path, rows, sizes):
    content = arrays(rows, 7)
    labels = np.arange(rows)
    batches = list(data_batches(Model(dynamic), saved(tmp_path, labels=labels, **content)))
    assert sizes_of(batches) == sizes
    assert np.array_equal(np.concatenate([batch.tensors[0] for batch in batches]), content["x"])
    assert np.array_equal(np.concatenate([batch.tensors[1] for batch in batches]), content["lengths"])
    assert np.array_equal(np.concatenate([batch.labels for batch in batches]), labels)
    assert all(batch.tensors[2].shape == (3, 2) for batch in batches)
    assert batches[-1].source.endswith(f"data.npz[{rows - sizes[-1]}:{rows}]")


def test_pieces_respect_the_declared_range(tmp_path):
    program = sum_program(Dim("batch", min=3, max=10))
    assert sizes_of(data_batches(Model(program), saved(tmp_path, **arrays(25)))) == [10, 10, 5]
    assert sizes_of(data_batches(Model(program), saved(tmp_path, **arrays(21)))) == [7, 7, 7]
    with pytest.raises(InputError, match=r"input x: expected 3 to 10 for batch \(axis 0\), given 2"):
        list(data_batches(Model(program, DIM_NAMES), saved(tmp_path, **arrays(2))))


def test_static_batch_runs_at_its_size(static, tmp_path):
    batches = list(data_batches(Model(static), saved(tmp_path, **arrays(12))))
    assert sizes_of(batches) == [4, 4, 4]
    assert all(batch.tensors[2].shape == (3, 2) for batch in batches)
    with pytest.raises(InputError, match=r"input x: expected \(4, 5\) float32, given \(10, 5\) float32"):
        list(data_batches(Model(static), saved(tmp_path, **arrays(10))))


def test_only_the_shared_batch_may_hold_several_times_its_size(static, tmp_path):
    content = arrays(8) | {"table": np.ones((6, 2), np.float32)}
    with pytest.raises(InputError, match=r"input table: expected \(3, 2\) float32, given \(6, 2\)"):
        list(data_batches(Model(static), saved(tmp_path, **content)))


def test_inputs_before_the_batched_one_do_not_set_the_batch(tmp_path):
    program = export(Scaled(), torch.ones(3), torch.ones(2, 3), scale=None, x={0: Dim("batch")})
    content = {"scale": np.ones(3, np.float32), "x": np.ones((100, 3), np.float32), "labels": np.zeros(100, np.int64)}
    batches = list(data_batches(Model(program), saved(tmp_path, **content)))
    assert sizes_of(batches) == [64, 36]
    assert [batch.tensors[0].shape for batch in batches] == [(3,), (3,)]
    assert [len(batch.labels) for batch in batches] == [64, 36]


def test_scalar_inputs_stay_scalars(tmp_path):
    program = export(Scaled(), torch.tensor(2.0), torch.ones(2, 3), scale=None, x={0: Dim("batch")})
    (batch,) = data_batches(Model(program), saved(tmp_path, scale=np.float32(3.0), x=np.ones((5, 3), np.float32)))
    assert batch.tensors[0].shape == ()
    assert batch.tensors[0] == 3.0


def test_batch_that_is_not_only_rows_is_not_cut(tmp_path):
    rows = Dim("rows")
    program = export(Cross(), torch.ones(2, 2), torch.ones(4, 2), x={0: rows, 1: rows}, y={0: 2 * rows, 1: rows})
    content = {"x": np.ones((80, 80), np.float32), "y": np.ones((160, 80), np.float32)}
    assert sizes_of(data_batches(Model(program), saved(tmp_path, **content))) == [80]
    content["y"] = np.ones((159, 80), np.float32)
    with pytest.raises(InputError, match=r"input y: expected \(160, 80\) for the sizes of the other inputs"):
        list(data_batches(Model(program), saved(tmp_path, **content)))


def test_limit_cuts_the_rows_across_files(dynamic, tmp_path):
    for name in ("a.npz", "b.npz", "c.npz"):
        saved(tmp_path, name, **arrays(70))
    assert sizes_of(data_batches(Model(dynamic), tmp_path, limit=100)) == [64, 6, 30]
    assert sizes_of(data_batches(Model(dynamic), tmp_path, limit=3)) == [3]


def test_folder_is_read_in_order_and_other_files_are_left(tmp_path):
    names = ["b.npz", "a.npz", "notes.txt"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in data_files(tmp_path)] == ["a.npz", "b.npz"]


def test_rows_must_agree_between_inputs(dynamic, tmp_path):
    content = arrays(8) | {"lengths": np.ones(7, np.int64)}
    with pytest.raises(InputError, match="input lengths: expected 8 rows as in x, given 7"):
        list(data_batches(Model(dynamic), saved(tmp_path, **content)))


def test_messages_use_the_declared_names_of_dims(dynamic, tmp_path):
    content = arrays(8) | {"x": np.ones((8, 5, 1), np.float32)}
    with pytest.raises(InputError, match=r"expected \(batch, tokens\) float32, given \(8, 5, 1\) float32"):
        list(data_batches(Model(dynamic, DIM_NAMES), saved(tmp_path, **content)))


@pytest.mark.parametrize(
    ("x", "dtype"),
    [("<f8", torch.float32), (">f4", torch.float32), ("<f2", torch.float32)],
)
def test_other_floats_become_the_inputs_dtype(dynamic, tmp_path, x, dtype):
    content = arrays(3)
    content["x"] = np.round(content["x"], 1).astype(x)
    content["lengths"] = content["lengths"].astype(np.uint8)
    (batch,) = data_batches(Model(dynamic), saved(tmp_path, **content))
    assert [tensor.dtype for tensor in batch.tensors] == [dtype, torch.int64, torch.float16]
    assert np.array_equal(batch.tensors[0], content["x"].astype(np.float32))


@pytest.mark.parametrize("kind", [np.float32, np.complex64, "U3", object, "M8[s]", [("a", np.int64)]])
def test_arrays_of_another_kind_are_refused(dynamic, tmp_path, kind):
    content = arrays(3) | {"lengths": np.zeros(3, kind)}
    with pytest.raises(InputError, match=r"data\.npz"):
        list(data_batches(Model(dynamic), saved(tmp_path, **content)))


def test_batches_say_where_in_their_file_they_are_and_how_much_is_done(dynamic, tmp_path):
    for name in ("a.npz", "b.npz"):
        saved(tmp_path, name, **arrays(100))
    batches = list(data_batches(Model(dynamic), tmp_path))
    places = [(batch.name, batch.first_row, batch.file_rows, batch.kind) for batch in batches]
    assert places == [("a", 0, 100, "data"), ("a", 64, 100, "data"), ("b", 0, 100, "data"), ("b", 64, 100, "data")]
    assert [batch.done for batch in batches] == pytest.approx([0.32, 0.5, 0.82, 1.0])


def test_whole_file_is_one_batch(dynamic, tmp_path):
    content = arrays(150)
    batch = whole_file(Model(dynamic), saved(tmp_path, **content), kind="normal", done=0.5)
    assert np.array_equal(batch.tensors[0], content["x"])
    assert (batch.name, batch.kind, batch.done) == ("data", "normal", 0.5)
    with pytest.raises(InputError, match=r"input x: expected .* given \(3, 5, 1\) float32"):
        whole_file(Model(dynamic), saved(tmp_path, **arrays(3) | {"x": np.ones((3, 5, 1), np.float32)}))


def test_bfloat16_comes_as_two_raw_bytes(dynamic, tmp_path):
    content = arrays(3)
    bits = torch.from_numpy(content["x"]).bfloat16().view(torch.int16).numpy().view("V2")
    (batch,) = data_batches(Model(dynamic), saved(tmp_path, **content | {"x": bits}))
    assert torch.equal(batch.tensors[0], torch.from_numpy(content["x"]).bfloat16().float())
