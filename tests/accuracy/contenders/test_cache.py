"""The cache of reference outputs: used, never trusted blindly, and bounded."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attnexport.accuracy.contenders.cache import OutputCache, default_folder, digest_of
from attnexport.accuracy.contenders.torch_runs import TorchRuns
from attnexport.models.model import Model

OUTPUTS = [np.arange(6.0).reshape(2, 3), np.array(3), np.zeros((0, 2), np.float32), np.array([True, False])]


class Counted:
    """Gives outputs and counts how often."""

    def __init__(self, outputs=OUTPUTS) -> None:
        self.outputs, self.times = outputs, 0

    def __call__(self):
        self.times += 1
        return self.outputs


def entry(folder: Path) -> Path:
    (path,) = folder.glob("*.npz")
    return path


def same(given, wanted) -> bool:
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(given, wanted, strict=True))


def test_outputs_are_computed_once(tmp_path):
    compute = Counted()
    for _ in range(2):
        assert same(OutputCache(tmp_path / "new" / "cache").outputs(("a", "b"), compute), OUTPUTS)
    assert compute.times == 1
    assert [path.suffix for path in (tmp_path / "new" / "cache").iterdir()] == [".npz"]


def test_every_part_of_the_key_counts(tmp_path):
    compute = Counted()
    for parts in (("a", "b"), ("a", "c"), ("d", "b"), ("ab", "")):
        OutputCache(tmp_path).outputs(parts, compute)
    assert compute.times == 4


def flip(data: bytes) -> bytes:
    middle = data.index(b"\x00\x00\x00\x00\x00\x00\x08@")
    return data[:middle] + b"\x01" + data[middle + 1 :]


def encrypt(data: bytes) -> bytes:
    """Sets the flag of encryption in every entry of the archive's directory."""
    parts = data.split(b"PK\x01\x02")
    return b"PK\x01\x02".join([parts[0], *(part[:4] + bytes([part[4] | 1]) + part[5:] for part in parts[1:])])


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-40], lambda data: data[:10], lambda data: b"", lambda data: b"noise" * 99, flip, encrypt],
    ids=["cut", "cut early", "empty", "noise", "one bit", "marked as encrypted"],
)
def test_damaged_entry_is_computed_again_and_said(tmp_path, damage):
    OutputCache(tmp_path).outputs(("a",), Counted())
    entry(tmp_path).write_bytes(damage(entry(tmp_path).read_bytes()))
    cache, compute = OutputCache(tmp_path), Counted()
    assert same(cache.outputs(("a",), compute), OUTPUTS)
    assert (compute.times, cache.hits) == (1, 0)
    assert cache.notes == (f"1 cached output in {tmp_path} was damaged and computed again",)
    again = OutputCache(tmp_path)
    again.outputs(("a",), compute)
    assert (compute.times, again.hits, again.notes) == (1, 1, ())


def test_entry_whose_values_were_exchanged_is_computed_again(tmp_path):
    """A whole .npz with another content: its own checksums hold, ours does not."""
    OutputCache(tmp_path).outputs(("a",), Counted())
    with np.load(entry(tmp_path)) as archive:
        arrays = dict(archive)
    arrays["output_0"] = arrays["output_0"] + 1
    np.savez(entry(tmp_path), **arrays)
    compute = Counted()
    assert same(OutputCache(tmp_path).outputs(("a",), compute), OUTPUTS)
    assert compute.times == 1


def test_entry_of_another_key_is_computed_again(tmp_path):
    """A whole entry under a name that is not its own, as somebody may copy it."""
    OutputCache(tmp_path).outputs(("a",), Counted())
    copied = entry(tmp_path).read_bytes()
    OutputCache(tmp_path).outputs(("b",), Counted([np.ones(3)]))
    for path in tmp_path.glob("*.npz"):
        path.write_bytes(copied)
    cache, compute = OutputCache(tmp_path), Counted([np.ones(3)])
    assert same(cache.outputs(("b",), compute), [np.ones(3)])
    assert (compute.times, cache.damaged) == (1, 1)


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_folder_that_others_can_write_is_neither_read_nor_written(tmp_path, mode):
    folder = tmp_path / "cache"
    OutputCache(folder).outputs(("a",), Counted())
    before = sorted(folder.iterdir())
    folder.chmod(mode)
    for key in ("a", "b"):
        cache, compute = OutputCache(folder), Counted()
        cache.outputs((key,), compute)
        assert (compute.times, cache.hits) == (1, 0)
    (note,) = cache.notes
    assert note.startswith("the reference was not kept for later: ")
    assert f"others may write into {folder}" in note
    assert sorted(folder.iterdir()) == before


def test_folder_below_one_that_others_can_write_is_not_used(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    for folder in (tmp_path / "shared" / "cache", tmp_path / "shared" / "new" / "cache"):
        cache = OutputCache(folder)
        cache.outputs(("a",), Counted())
        assert f"others may write into {tmp_path / 'shared'}" in cache.notes[0]
    (tmp_path / "shared").chmod(0o1777)
    assert OutputCache(tmp_path / "shared" / "cache").notes == ()


def test_folder_is_made_for_the_user_alone(tmp_path):
    before = os.umask(0)
    try:
        OutputCache(tmp_path / "new" / "cache").outputs(("a",), Counted())
    finally:
        os.umask(before)
    for folder in (tmp_path / "new", tmp_path / "new" / "cache"):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_cache_that_cannot_be_written_is_a_note(tmp_path):
    (tmp_path / "file").write_text("")
    cache = OutputCache(tmp_path / "file" / "cache")
    assert same(cache.outputs(("a",), Counted()), OUTPUTS)
    assert cache.notes[0].startswith("the reference was not kept for later: ")


def test_no_folder_keeps_nothing():
    compute = Counted()
    cache = OutputCache(None)
    for _ in range(2):
        cache.outputs(("a",), compute)
    cache.trim()
    assert (compute.times, cache.hits, cache.notes) == (2, 0, ())


def test_entries_unused_for_longest_go_first(tmp_path):
    cache = OutputCache(tmp_path)
    for number in range(4):
        cache.outputs((str(number),), Counted([np.full(1000, number)]))
        for path in tmp_path.glob("*.npz"):
            os.utime(path, (path.stat().st_mtime - 100,) * 2)
    cache.outputs(("0",), Counted())
    cache.trim(2 * 9000)
    compute = Counted()
    for number in range(4):
        cache.outputs((str(number),), compute)
    assert compute.times == 2


def test_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "attnexport" / "reference"


def test_digest_depends_on_values_shapes_and_types():
    tensors = [torch.zeros(2, 3), torch.zeros(3, 2), torch.zeros(2, 3).half(), torch.ones(2, 3)]
    assert len({digest_of([tensor]) for tensor in tensors}) == 4
    assert digest_of([torch.zeros(2), torch.ones(2)]) != digest_of([torch.ones(2), torch.zeros(2)])
    assert digest_of([torch.zeros(2, 0).bfloat16()])


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def test_another_model_input_or_precision_is_another_entry(tmp_path):
    x = torch.tensor([1.0, 2.0])
    programs = [torch.export.export(Scale(factor), (x,)) for factor in (2.0, 3.0)]
    for program, factor in zip(programs, (2.0, 3.0), strict=True):
        runs = TorchRuns(Model(program), OutputCache(tmp_path))
        for values in (x, x + 1):
            for precision in ("fp64", "bf16"):
                (given,) = runs.run([values], precision, digest_of([values]))
                assert np.array_equal(given, values.numpy() * factor)
        assert runs.cache.hits == 0
    assert len(list(tmp_path.glob("*.npz"))) == 8
