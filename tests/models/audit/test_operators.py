"""Which operators a .pt2 from a stranger may call, and with what: the list, its checks, and what never runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attnexport.errors import InputError
from attnexport.models.audit.operators import listed_operators, operator_of, operator_target
from attnexport.models.audit.shapes import Refusal, words
from attnexport.models.loading.sources import load_model
from tests.models.audit import operator_list
from tests.models.audit.pt2_edits import PROGRAM, Records, call, edited, graph, victim_records, with_node, write_archive

TRUSTING = words("""
    segment_reduce.default max_pool2d_with_indices_backward.default nll_loss_backward.default
    adaptive_max_pool2d_backward.default _embedding_bag_dense_backward.default
    _convert_indices_from_csr_to_coo.default _convert_indices_from_coo_to_csr.default unfold_backward.default
    embedding_renorm_.default _embedding_bag_per_sample_weights_backward.default _histogramdd_from_bin_cts.default
    resize_.default set_.source_Storage set_.default _reshape_alias.default from_file.default
    _sparse_csr_tensor_unsafe.default sparse_coo_tensor.indices _nested_view_from_buffer.default
    linalg_ldl_solve.default lu_unpack.default linalg_lu_solve.default lu_solve.default ormqr.default orgqr.default
    linalg_householder_product.default quantize_per_tensor.default quantized_gru.input _fused_dropout.default
    _cudnn_rnn.default _thnn_fused_lstm_cell.default ctc_loss.IntList _ctc_loss.default
    add.out gather.out index_select.out _foreach_add.List _coalesced_.default _copy_from.default
""")


@pytest.mark.parametrize("name", sorted(TRUSTING))
def test_an_operator_that_trusts_its_arguments_is_refused(name: str) -> None:
    with pytest.raises(Refusal, match="not on the list of operators that a model file may call: write the model"):
        operator_target(f"torch.ops.aten.{name}")


def test_the_list_is_what_this_torch_would_give() -> None:
    """Another torch adds operators, or tags other ones as core: run the probe on those, then list them."""
    assert operator_list.derived() == operator_list.LIST.read_text().split()


def test_no_listed_operator_is_of_a_refused_kind() -> None:
    for name in listed_operators():
        operator = operator_of(operator_target(f"torch.ops.{name}"))
        assert operator is not None
        assert operator_list.refused(operator) is None, name
        assert not any(argument.is_out or argument.name == "unsafe" for argument in operator._schema.arguments)


@pytest.fixture(scope="module")
def records() -> Records:
    return victim_records()


def loaded(records: Records, path: Path) -> torch.export.ExportedProgram:
    program = load_model(write_archive(path / "model.pt2", records)).program
    assert program is not None
    return program


def _arange(*names: str, dtype: dict[str, Any]) -> dict[str, Any]:
    node = call("torch.ops.aten.arange.start_step", *({"as_int": 2} for _ in names), dtype)
    for entry, name in zip(node["inputs"], (*names, "dtype"), strict=True):
        entry["name"] = name
    node["inputs"][-1]["kind"] = 2
    return node


def _vmap_result(*arguments: dict[str, Any], **keywords: dict[str, Any]) -> dict[str, Any]:
    x = {"as_tensor": {"name": "x"}}
    return call(
        "torch._functorch.predispatch._remove_batch_dim", x, {"as_int": 1}, {"as_int": 3}, *arguments, **keywords
    )


WRONG_ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "number_as_type": (_arange("start", "end", "step", dtype={"as_int": -64}), "not of the type ScalarType"),
    "size_as_type": (_arange("start", "end", dtype={"as_sym_int": {"as_int": -64}}), "not of the type ScalarType"),
    "gap": (_arange("start", "step", dtype={"as_none": True}), "in another order"),
    "twice": (_arange("start", "end", "end", dtype={"as_none": True}), "has twice"),
    "unknown": (_arange("start", "end", "stop", dtype={"as_none": True}), "does not have"),
    "axis_of_vmap": (_vmap_result({"as_int": 2**31}), "other out_dims than 0"),
    "axis_of_vmap_by_name": (_vmap_result(out_dim={"as_int": -2}), "other out_dims than 0"),
    "axis_of_vmap_later": (_vmap_result({"as_sym_int": {"as_name": "n"}}), "other out_dims than 0"),
    "sparse": (call("torch.ops.aten.zeros.default", size={"as_ints": [2]}, layout={"as_layout": 1}), "sparse"),
    "meta": (
        call(
            "torch.ops.aten.zeros.default", size={"as_ints": [2]}, device={"as_device": {"type": "meta", "index": None}}
        ),
        "is not one of cpu",
    ),
}


@pytest.mark.parametrize("name", WRONG_ARGUMENTS)
def test_arguments_that_torch_would_not_check_are_refused(name: str, records: Records, tmp_path: Path) -> None:
    node, says = WRONG_ARGUMENTS[name]
    with pytest.raises(InputError, match=says):
        loaded(with_node(records, node), tmp_path)


class Decomposed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.bags = nn.EmbeddingBag(10, 4, mode="sum")
        self.convolution = nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 4, 3, padding=1))

    def forward(self, x: Tensor, ids: Tensor, offsets: Tensor) -> tuple[Tensor, ...]:
        y = self.convolution(self.norm(x))
        return y, torch.fft.irfft(torch.fft.rfft(y)), self.bags(ids, offsets)


EXAMPLE = (torch.randn(2, 4, 8), torch.tensor([1, 2, 9, 4]), torch.tensor([0, 3]))


@pytest.fixture(scope="module", params=["exported", "decomposed"])
def checked_program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.manual_seed(0)
    program = torch.export.export(Decomposed().eval(), EXAMPLE, strict=False)
    if request.param == "decomposed":
        program = program.run_decompositions()
    path = tmp_path_factory.mktemp("checked") / "model.pt2"
    torch.export.save(program, str(path))
    return program, load_model(path).program


def test_a_checked_operator_computes_what_it_did(checked_program: Any) -> None:
    program, read = checked_program
    assert any("attnexport_checked" in str(node.target) for node in read.graph.nodes)
    for expected, given in zip(program.module()(*EXAMPLE), read.module()(*EXAMPLE), strict=True):
        assert torch.equal(expected, given)


@pytest.mark.parametrize("offsets", [[0, 2**40], [0, -3], [1, 2], [0, 5]])
def test_a_checked_operator_refuses_what_leads_outside(checked_program: Any, offsets: list[int]) -> None:
    _, read = checked_program
    with pytest.raises(RuntimeError, match="expected offsets"):
        read.module()(*EXAMPLE[:2], torch.tensor(offsets))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (
            "_native_batch_norm_legit_no_training.default",
            (torch.ones(2, 4), None, torch.ones(1), *[torch.ones(4)] * 2, 0.1, 1e-5),
        ),
        (
            "_native_batch_norm_legit_no_training.default",
            (torch.ones(2, 4), None, None, torch.ones(0), torch.ones(4), 0.1, 1e-5),
        ),
        ("_fft_c2r.default", (torch.ones(4, 4, dtype=torch.complex64), [7], 0, 6)),
        ("_fft_c2r.default", (torch.ones(4, 4, dtype=torch.complex64), [1], 0, 2**40)),
        ("_fft_r2c.default", (torch.ones(4, 4), [-2], 0, True)),
        ("_weight_norm.default", (torch.ones(4, 3), torch.ones(0, 0), 0)),
    ],
)
def test_checks_of_shapes(name: str, arguments: tuple[Any, ...]) -> None:
    operator = operator_of(operator_target(f"torch.ops.aten.{name}"))
    assert operator is not None
    with pytest.raises(RuntimeError, match="expected"):
        operator(*arguments)


def test_nodes_that_nobody_uses_never_reach_torch(records: Records, tmp_path: Path) -> None:
    hidden = call("torch.ops.aten.sin.default", {"as_tensor": {"name": "x"}}, name="hidden")
    hidden["inputs"][0]["name"] = "self"
    hidden["outputs"] = [{"as_tensor": {"name": "hidden"}}]

    def edit(program: dict[str, Any]) -> None:
        graph(program)["tensor_values"]["hidden"] = graph(program)["tensor_values"]["x"]

    read = loaded(edited(with_node(records, hidden), edit), tmp_path)
    assert len(read.graph.nodes) == len(loaded(records, tmp_path).graph.nodes)


class Writes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        x.mul_(2)
        torch._assert(x.shape[0] > 0, "empty")
        return x + self.calls


def test_writes_into_buffers_and_inputs_stay(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(Writes(), (torch.ones(3),), strict=False), str(path))
    program = load_model(path).program
    assert program is not None
    module, x = program.module(), torch.ones(3)
    module(x)
    assert torch.equal(module(x), torch.full((3,), 4.0) + 2)
    assert torch.equal(x, torch.full((3,), 4.0))


def test_a_program_may_not_hide_a_call_in_an_operator_argument(records: Records, tmp_path: Path) -> None:
    def edit(program: dict[str, Any]) -> None:
        cond = next(node for node in graph(program)["nodes"] if node["target"].endswith("cond"))
        cond["inputs"][1]["arg"] = {"as_operator": "torch.ops.aten.arange.start_step"}

    with pytest.raises(InputError, match="would call it unchecked"):
        loaded(edited(records, edit, PROGRAM), tmp_path)
