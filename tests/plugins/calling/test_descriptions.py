"""A variant is described in C++ as it is in Python: one table, checked against the torch operator's schema."""

from __future__ import annotations

import pytest

from attnexport.graph.nodes import attribute_names, count_attribute
from attnexport.plugins.calling.interface import AttributeKind, Dtype
from attnexport.plugins.calling.library import Library
from attnexport.plugins.calling.operators import Input
from attnexport.variants.descriptions import LATER_TENSORS
from attnexport.variants.registry import all_variants
from attnexport.variants.spec import Variant

KINDS = {
    "int": AttributeKind.INTEGER,
    "SymInt": AttributeKind.INTEGER,
    "bool": AttributeKind.INTEGER,
    "float": AttributeKind.NUMBER,
    "str": AttributeKind.TEXT,
}
PLUGIN_ATTRIBUTES = {"plugin_namespace", "plugin_version"}


def inputs_of(variant: Variant) -> list[Input]:
    """Inputs of the variant's ONNX node."""
    inputs = []
    for argument in variant.torch_op._schema.arguments:
        kind = str(argument.type)
        if kind == "List[Tensor]":
            inputs.append(Input(argument.name, count_attribute(argument.name), is_length=False))
        elif kind in ("Tensor", "Optional[Tensor]"):
            inputs.append(Input(argument.name, None, is_length=kind == "Optional[Tensor]"))
    return inputs


def attributes_of(variant: Variant) -> dict[str, AttributeKind]:
    """Attributes of the variant's ONNX node that are its own."""
    kinds = {item.name: KINDS.get(str(item.type)) for item in variant.torch_op._schema.arguments}
    names = [name for name in attribute_names(variant) if name not in PLUGIN_ATTRIBUTES]
    return {name: kinds.get(name) or AttributeKind.INTEGER for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("variant", all_variants(), ids=lambda variant: variant.name)
def test_the_kernel_describes_the_node_that_the_exporter_writes(variant: Variant, emulated_library: Library):
    op = emulated_library.ops[variant.op_type]
    assert list(op.inputs) == [item for item in inputs_of(variant) if item.name not in LATER_TENSORS]
    assert {item.name: item.kind for item in op.attributes} == attributes_of(variant)
    assert set(op.dtypes) == {Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16}


@pytest.mark.slow
def test_every_operator_of_the_library_is_a_variant(emulated_library: Library):
    assert sorted(emulated_library.ops) == sorted(variant.op_type for variant in all_variants())


def test_what_the_plain_operators_say_is_read_as_it_was_written(plain_library: Library):
    for variant in all_variants():
        if variant.op_type in plain_library.ops:
            op = plain_library.ops[variant.op_type]
            assert list(op.inputs) == [item for item in inputs_of(variant) if item.name not in LATER_TENSORS]
            assert {item.name: item.kind for item in op.attributes} == attributes_of(variant)
            assert op.dtypes == (Dtype.FLOAT32,)
    assert len(plain_library.ops) == 2
