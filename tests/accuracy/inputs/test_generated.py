"""Generated inputs: every kind is what its name says, stays in the declared ranges and is the same every time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

import attnexport
from attnexport.accuracy.contenders.cache import digest_of
from attnexport.accuracy.inputs.files import Batch
from attnexport.accuracy.inputs.generated import KINDS, GeneratedInputs, chosen_kinds, generated_inputs
from attnexport.accuracy.inputs.scaling import HALF_LIMIT
from attnexport.accuracy.inputs.sizes import size_ranges
from attnexport.errors import InputError
from attnexport.models.model import Model
from attnexport.plugins.runtime.request import Profile

LENGTHS = torch.tensor([1, 2, 3, 4])


class Sum(nn.Module):
    """x (batch, tokens, 3), kv_lengths (batch,), table (3, 2)."""

    def forward(self, x: Tensor, kv_lengths: Tensor, table: Tensor) -> Tensor:
        return x * kv_lengths[:, None, None] + table.sum()


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x


class Tokens(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.sum(-1)


def export(module: nn.Module, *args: Tensor, **shapes) -> torch.export.ExportedProgram:
    return torch.export.export(module, args, dynamic_shapes=shapes or None, strict=False)


def sum_program(batch=None, tokens=None) -> torch.export.ExportedProgram:
    batch, tokens = batch or Dim("batch"), tokens or Dim("tokens")
    args = (torch.randn(4, 5, 3), LENGTHS, torch.ones(3, 2, dtype=torch.float16))
    return export(Sum(), *args, x={0: batch, 1: tokens}, kv_lengths={0: batch}, table=None)


@pytest.fixture(scope="module")
def program() -> torch.export.ExportedProgram:
    return sum_program(Dim("batch", min=2, max=100), Dim("tokens", min=1, max=4000))


def made(program: torch.export.ExportedProgram, kind: str, **options) -> list[Batch]:
    return list(generated_inputs(Model(program), chosen_kinds(kind), **options))


def shapes(batches: list[Batch]) -> list[tuple[int, ...]]:
    return [tuple(batch.tensors[0].shape[:2]) for batch in batches]


def reason(program: torch.export.ExportedProgram, kind: str) -> str:
    inputs = generated_inputs(Model(program), chosen_kinds(kind))
    assert not list(inputs)
    return inputs.left_out[kind]


def test_every_kind_keeps_types_and_valid_integers(program):
    batches = list(generated_inputs(Model(program), chosen_kinds(None)))
    assert {batch.kind for batch in batches} == set(KINDS) - {"varied"}
    for batch in batches:
        x, lengths, table = batch.tensors
        assert lengths.shape == x.shape[:1]
        assert set(lengths.tolist()) <= set(LENGTHS.tolist())
        assert [tensor.dtype for tensor in batch.tensors] == [torch.float32, torch.int64, torch.float16]
        assert table.shape == (3, 2)
        assert x.isfinite().all()


def test_batches_are_named_by_kind_and_number_and_end_at_all_done(program):
    batches = list(generated_inputs(Model(program), chosen_kinds("normal,one-hot"), seeds=2))
    assert [batch.name for batch in batches] == ["normal-0", "normal-1", "one-hot-0", "one-hot-1"]
    assert [batch.done for batch in batches] == [0.25, 0.5, 0.75, 1.0]


def test_same_seed_gives_the_same_inputs_and_another_others(program):
    for kind in KINDS.keys() - {"varied"}:
        first, again, other = (made(program, kind, seed=seed) for seed in (0, 0, 5))
        assert [digest_of(batch.tensors) for batch in first] == [digest_of(batch.tensors) for batch in again]
        assert not torch.equal(first[0].tensors[0], other[0].tensors[0]) or first[0].tensors[0].numel() < 9, kind
    assert not torch.equal(made(program, "normal")[0].tensors[0], made(program, "normal")[1].tensors[0])


def test_constant_inputs_are_one_value_each(program):
    for batch in made(program, "constant"):
        assert all(len(tensor.unique()) == 1 for tensor in batch.tensors)


def test_one_hot_inputs_have_one_value_in_the_last_axis(program):
    for batch in made(program, "one-hot"):
        x = batch.tensors[0]
        assert ((x != 0).sum(-1) == 1).all()
        assert x.sum() > 0


class Padded(nn.Module):
    """x (batch, tokens, 3), padding (batch, tokens), kv_lengths (batch,), steps ()."""

    def forward(self, x: Tensor, padding: Tensor, kv_lengths: Tensor, steps: Tensor) -> Tensor:
        return x.masked_fill(padding[..., None], 0.0) * kv_lengths[:, None, None] ** steps


def test_varied_inputs_show_masks_and_lengths_that_the_example_does_not_use():
    example = (torch.randn(4, 5, 3), torch.zeros(4, 5, dtype=torch.bool), torch.full((4,), 5), torch.tensor(2))
    batches = made(export(Padded(), *example), "varied")
    assert [batch.name for batch in batches] == ["varied-0", "varied-1", "varied-2"]
    padding, lengths, steps = (batch.tensors[position] for position, batch in enumerate(batches, 1))
    assert 0 < padding.sum() < padding.numel()
    assert set(lengths.tolist()) <= {1, 2, 3, 4, 5}
    assert len(lengths.unique()) > 1
    assert steps == 1
    for position, batch in enumerate(batches, 1):
        same = [torch.equal(tensor, given) for tensor, given in zip(batch.tensors[1:], example[1:], strict=True)]
        assert same == [index != position for index in (1, 2, 3)]


class LeftPadded(nn.Module):
    """x (batch, tokens, 8), starts (batch,) int64, as a tokenizer counts its padding."""

    def forward(self, x: Tensor, starts: Tensor) -> Tensor:
        q = x[:, None]
        return attnexport.top_n_attention(q, q, q, 3, causal=True, kv_start=starts)


def test_varied_inputs_begin_with_later_keys_and_leave_one_sample_none():
    program = export(LeftPadded(), torch.randn(4, 6, 8), torch.zeros(4, dtype=torch.int64))
    (batch,) = made(program, "varied")
    *starts, last = batch.tensors[1].tolist()
    assert all(1 <= start < 6 for start in starts)
    assert last == 6
    assert not LeftPadded()(*batch.tensors)[-1].any()


def test_inputs_are_not_varied_where_the_model_then_fails():
    class BeginsAtThree(nn.Module):
        def forward(self, x: Tensor, rows: Tensor) -> Tensor:
            return x.index_select(0, rows - 3)

    program = export(BeginsAtThree(), torch.randn(3, 4), torch.tensor([3, 3]))
    assert reason(program, "varied") == "PyTorch cannot run the model on other truths and whole numbers"


def test_large_inputs_bring_products_near_the_limit_of_half_precision():
    program = export(Square(), torch.full((2, 8), 3.0))
    (batch, *_) = made(program, "large")
    squares = (batch.tensors[0] ** 2).max()
    # Squares of the squares are values of the model as well.
    assert HALF_LIMIT / 16**4 < squares**2 <= HALF_LIMIT
    assert reason(export(Square(), torch.full((2, 8), 1000.0)), "large").startswith("products of the example's own")
    assert reason(export(Square(), torch.zeros(2, 8)), "large") == "no floating input that is not zero"


def test_sizes_go_to_the_ends_of_the_declared_ranges(program):
    assert shapes(made(program, "length-1")) == [(4, 1)]
    assert shapes(made(program, "minimum")) == [(2, 5), (4, 1)]
    assert shapes(made(program, "middle")) == [(33, 5), (4, 512)]
    assert shapes(made(program, "maximum")) == [(64, 5), (4, 1024)]
    assert shapes(made(program, "long")) == [(4, 1024)]
    assert shapes(made(program, "long", longest=100)) == [(4, 100)]


def test_sizes_stay_in_the_declared_ranges():
    narrow = sum_program(Dim("batch", min=3, max=6), Dim("tokens", min=2, max=7))
    found = shapes(list(generated_inputs(Model(narrow), chosen_kinds(None))))
    assert {rows for rows, _ in found} == {3, 4, 6}
    assert {tokens for _, tokens in found} == {2, 4, 5, 7}


def test_sizes_without_an_upper_bound_go_a_little_beyond_the_example():
    assert shapes(made(sum_program(), "maximum")) == [(9, 5), (4, 11)]
    assert shapes(made(sum_program(), "long")) == [(4, 1024)]


def test_shapes_run_once(program):
    inputs = generated_inputs(Model(program), chosen_kinds("length-1,minimum,long,maximum"))
    assert shapes(list(inputs)) == [(4, 1), (2, 5), (4, 1024), (64, 5)]
    assert inputs.left_out == {}
    repeated = generated_inputs(
        Model(sum_program(Dim("batch"), Dim("tokens", min=5, max=9))), chosen_kinds("length-1,minimum")
    )
    assert list(map(len, [list(repeated)])) == [2]


def test_sizes_stay_within_what_an_engine_takes(program):
    engine = {"x": Profile((4, 3, 3), (8, 16, 3), (8, 200, 3)), "kv_lengths": Profile((4,), (8,), (8,))}
    found = shapes(list(generated_inputs(Model(program), chosen_kinds(None), engines=[engine])))
    assert {rows for rows, _ in found} == {4, 6, 8}
    assert {tokens for _, tokens in found} == {3, 5, 101, 200}
    other = {"x": Profile((1, 300, 3), (1, 300, 3), (8, 300, 3))}
    with pytest.raises(
        InputError, match=r"input x axis 1: no size that the model and every engine take: 300 is more than 200"
    ):
        size_ranges(Model(program), 1024, [engine, other])
    far = {"x": Profile((16, 1, 3), (16, 1, 3), (16, 9, 3))}
    assert {size.example for size in size_ranges(Model(program), 1024, [far]) if size.is_batch} == {16}


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("long", "no dynamic dim besides the batch"),
        ("length-1", "no dynamic dim besides the batch"),
        ("minimum", "no dynamic dims"),
        ("large", "no floating input that is not zero"),
        ("one-hot", "no floating input with a last axis"),
        ("varied", "no truths or whole numbers that are all the same"),
    ],
)
def test_kinds_that_a_model_has_no_inputs_of_say_why(kind: str, why: str):
    dynamic = {"tokens": {0: Dim("batch")}} if "batch" in why else {}
    program = export(Tokens(), torch.randint(9, (2, 6)), **dynamic)
    assert reason(program, kind) == why


def test_kinds_are_chosen_by_name():
    assert [kind.name for kind in chosen_kinds("large, normal,large")] == ["large", "normal"]
    with pytest.raises(InputError, match=r"^kinds: expected some of normal, large, .*, given 'huge'"):
        chosen_kinds("normal,huge")


def test_program_without_examples_asks_for_inputs():
    bare = sum_program()
    bare.example_inputs = None
    with pytest.raises(InputError, match="carries no example inputs: give inputs or data"):
        generated_inputs(Model(bare), chosen_kinds(None))


def test_inputs_can_be_made_again():
    inputs: GeneratedInputs = generated_inputs(Model(sum_program()), chosen_kinds("normal"))
    first, second = ([batch.tensors[0].numpy() for batch in inputs] for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
