"""Calls through the C interface that every operator refuses, and the workspace that they ask for."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attnexport.plugins.calling.interface import Dtype, Status
from attnexport.plugins.calling.library import Library
from attnexport.plugins.calling.operators import Array, Call, Op, OperatorError
from attnexport.variants.registry import all_variants
from tests.plugins.kernel_cases import Case, Sizes, hold_to_reference, make_arguments

pytestmark = pytest.mark.slow

OP_TYPES = sorted(variant.op_type for variant in all_variants())
DTYPES = [Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16]
SELECTING = {"KrauseAttention": {"top_k": 5}, "SelectiveSynchronizationAttention": {"top_k": 5}}


def call_of(op: Op, sizes: Sizes, options: dict | None = None, dtype: Dtype = Dtype.FLOAT32) -> Call:
    """A call of these shapes without data."""
    drawn = make_arguments(Case(op.name, replace(sizes, batch=1), options or {}), torch.float32)
    arrays, attributes = [], {}
    for item in op.inputs:
        value = drawn[item.name]
        tensors = value if isinstance(value, list) else [] if value is None else [value]
        for tensor in tensors:
            shape = tuple(tensor.shape) if tensor.dim() < 2 else (sizes.batch, *tensor.shape[1:])
            arrays.append(Array(0, dtype, shape))
        if item.count_attribute:
            attributes[item.count_attribute] = len(tensors)
    if sizes.kv_lengths is not None:
        arrays.append(Array(0, Dtype.INT32, (sizes.batch,)))
    attributes |= {item.name: drawn[item.name] for item in op.attributes if item.name in drawn}
    return Call(arrays, attributes)


def place_of(op: Op, name: str, call: Call) -> int:
    """Index of an input's first tensor."""
    names = [item.name for item in op.inputs]
    before = op.inputs[: names.index(name)]
    return sum(int(call.attributes[item.count_attribute]) if item.count_attribute else 1 for item in before)


def changed(call: Call, place: int, array: Array) -> Call:
    inputs = list(call.inputs)
    inputs[place] = array
    return replace(call, inputs=inputs)


def status_of(attempt: Callable[[], object]) -> Status:
    try:
        attempt()
    except OperatorError as error:
        return error.status
    return Status.OK


@pytest.mark.parametrize("op_type", OP_TYPES)
def test_tensors_that_do_not_fit_each_other_are_invalid(op_type: str, emulated_library: Library):
    op = emulated_library.ops[op_type]
    call = call_of(op, Sizes())
    assert status_of(lambda: op.workspace(call)) is Status.OK
    value = place_of(op, "v", call)
    batch, heads, keys, width = call.inputs[value].shape
    wrong = {
        "batch": Array(0, Dtype.FLOAT32, (batch + 1, heads, keys, width)),
        "keys": Array(0, Dtype.FLOAT32, (batch, heads, keys + 1, width)),
        "heads that do not divide": Array(0, Dtype.FLOAT32, (batch, 3, keys, width)),
        "rank": Array(0, Dtype.FLOAT32, (batch, keys, width)),
        "type": Array(0, Dtype.FLOAT16, (batch, heads, keys, width)),
    }
    for what, array in wrong.items():
        misfit = changed(call, value, array)
        assert status_of(lambda misfit=misfit: op.workspace(misfit)) is Status.INVALID, what
    for place in range(value):
        array = call.inputs[place]
        longer = changed(call, place, replace(array, shape=(*array.shape[:-1], *(n + 1 for n in array.shape[-1:]))))
        if array.shape:
            assert status_of(lambda longer=longer: op.workspace(longer)) is Status.INVALID, place
    lengths = replace(call, inputs=[*call.inputs, Array(0, Dtype.INT32, (batch + 1,))])
    assert status_of(lambda: op.workspace(lengths)) is Status.INVALID


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name.lower())
@pytest.mark.parametrize("op_type", OP_TYPES)
def test_widths_beyond_the_largest_are_unsupported(op_type: str, dtype: Dtype, emulated_library: Library):
    op = emulated_library.ops[op_type]
    features = {"features": (8, 8)} if op_type == "HadamardLinearAttention" else {}
    assert status_of(lambda: op.workspace(call_of(op, Sizes(value_width=256), features, dtype))) is Status.OK
    assert status_of(lambda: op.workspace(call_of(op, Sizes(value_width=257), features, dtype))) is Status.UNSUPPORTED
    if not features:
        assert status_of(lambda: op.workspace(call_of(op, Sizes(width=257), {}, dtype))) is Status.UNSUPPORTED


@pytest.mark.parametrize("op_type", OP_TYPES)
def test_a_workspace_one_byte_too_small_is_refused_before_anything_is_written(op_type: str, emulated_library: Library):
    op = emulated_library.ops[op_type]
    call = call_of(op, Sizes(rows=40, keys=600), SELECTING.get(op_type))
    needed = op.workspace(call)
    assert needed > 0
    untouched = ctypes.create_string_buffer(b"\x5a" * needed, needed)
    launch = lambda: op.launch(call, ctypes.addressof(untouched), needed - 1)  # noqa: E731
    assert status_of(launch) is Status.WORKSPACE_TOO_SMALL
    assert untouched.raw == b"\x5a" * needed


@pytest.mark.parametrize("op_type", OP_TYPES)
def test_addresses_that_are_no_multiple_of_16_are_refused(op_type: str, emulated_library: Library):
    op = emulated_library.ops[op_type]
    shapes = call_of(op, Sizes())
    aligned = replace(shapes, inputs=[replace(array, pointer=4096) for array in shapes.inputs], output=4096)
    first, output = changed(aligned, 0, replace(aligned.inputs[0], pointer=4104)), replace(aligned, output=4098)
    size = 1 << 30
    assert status_of(lambda: op.launch(first, 4096, size)) is Status.UNALIGNED
    assert status_of(lambda: op.launch(output, 4096, size)) is Status.UNALIGNED
    assert status_of(lambda: op.launch(aligned, 4100, size)) is Status.UNALIGNED


TOKENS = st.one_of(st.integers(0, 40), st.integers(41, 5000), st.integers(5001, 100_000))
WIDTHS = st.sampled_from([8, 12, 20, 64, 128, 256])
DYNAMIC = {"batch": st.integers(0, 40), "group": st.integers(1, 4), "rows": TOKENS, "keys": TOKENS}


@st.composite
def growing_sizes(draw: st.DrawFn) -> tuple[Sizes, Sizes]:
    """Sizes, and others of which one dimension is larger: one that may be dynamic, which widths are not."""
    one, grows = {name: draw(values) for name, values in DYNAMIC.items()}, draw(st.sampled_from(list(DYNAMIC)))
    other = {**one, grows: draw(DYNAMIC[grows])}
    kv_heads, causal, width, value_width = draw(st.integers(1, 8)), draw(st.booleans()), draw(WIDTHS), draw(WIDTHS)

    def sizes(group: int, **dimensions: int) -> Sizes:
        widths = {"width": width, "value_width": value_width}
        return Sizes(heads=kv_heads * group, kv_heads=kv_heads, causal=causal, **widths, **dimensions)

    smaller, larger = sorted((one, other), key=lambda dimensions: dimensions[grows])
    return sizes(**smaller), sizes(**larger)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.name.lower())
@pytest.mark.parametrize("op_type", OP_TYPES)
def test_the_workspace_never_shrinks_when_a_dimension_grows(op_type: str, dtype: Dtype, emulated_library: Library):
    op = emulated_library.ops[op_type]
    features = st.sampled_from([(16,), (8, 24), (16, 8, 8), (5, 7), (64, 64)])

    @settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(pair=growing_sizes(), count=st.integers(1, 64), features=features)
    def grows(pair: tuple[Sizes, Sizes], count: int, features: tuple[int, ...]) -> None:
        options = {"features": features} if "Hadamard" in op_type else {"n" if "TopN" in op_type else "top_k": count}
        smaller, larger = (op.workspace(shapes_alone(op, sizes, options, dtype)) for sizes in pair)
        assert smaller <= larger

    grows()


def shapes_alone(op: Op, sizes: Sizes, options: dict, dtype: Dtype) -> Call:
    """As call_of, for sizes whose tensors would not fit into memory."""
    small = call_of(op, replace(sizes, rows=2, keys=3), options, dtype)
    tokens = {2: sizes.rows, 3: sizes.keys}
    arrays = [
        replace(array, shape=tuple(tokens[n] if axis == 2 else n for axis, n in enumerate(array.shape)))
        for array in small.inputs
    ]
    return replace(small, inputs=arrays)


@pytest.mark.parametrize("op_type", OP_TYPES)
def test_the_workspace_does_not_depend_on_the_device(
    op_type: str, emulated_library: Library, monkeypatch: pytest.MonkeyPatch
):
    op = emulated_library.ops[op_type]
    for given_sizes in (Sizes(), Sizes(rows=1, keys=5000), Sizes(rows=900, keys=900, width=64, causal=True)):
        call = call_of(op, given_sizes, SELECTING.get(op_type))
        needed = []
        for shared in (48 << 10, 99 << 10, 227 << 10):
            monkeypatch.setenv("ATTNEXPORT_CPU_SHARED", str(shared))
            needed.append(op.workspace(call))
        assert len(set(needed)) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("op_type", OP_TYPES)
def test_samples_that_one_launch_does_not_take_go_through_several(
    op_type: str, dtype: torch.dtype, emulated_library: Library
):
    # The emulated kernels take 128 pairs of a sample and a head of keys at once, those of a GPU 65535.
    lengths, starts = tuple(i % 6 for i in range(70)), tuple(i % 4 for i in range(70))
    sizes = Sizes(heads=4, kv_heads=2, rows=3, keys=5, width=8, value_width=8, batch=70, causal=True,
                  kv_lengths=lengths, q_start=starts)  # fmt: skip
    case = Case(op_type, sizes, SELECTING.get(op_type, {}))
    outcome = hold_to_reference(case, emulated_library.ops[op_type], dtype)
    assert outcome.good, f"error {outcome.error:.3g}, allowed {outcome.allowed:.3g}"
