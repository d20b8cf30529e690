"""The whole of models/model.json: every field that torch may read, and what it may hold.

torch pastes names into Python source that it then runs, evaluates shape expressions and guards, and looks
operators up by name. So every text below has a checker, and the program that torch sees is rebuilt from
checked values only. Stack traces and other notes of the exporter's are dropped.
"""

from __future__ import annotations

import json
from typing import Any

from torch._export.serde.schema import SCHEMA_VERSION, ScalarType

from attnexport.models.audit.arithmetic import check_arithmetic, names_in
from attnexport.models.audit.call_arguments import check_arguments, check_function_arguments
from attnexport.models.audit.dead_nodes import without_dead_nodes
from attnexport.models.audit.guards import guard_code
from attnexport.models.audit.layer_names import layer_names
from attnexport.models.audit.operators import operator_of, operator_target
from attnexport.models.audit.shapes import (
    Refusal,
    at,
    attribute_path,
    attribute_path_or_empty,
    boolean,
    dict_of,
    identifier,
    identifier_or_empty,
    integer,
    list_of,
    number,
    one_of,
    optional,
    plain_text,
    record,
    shown,
    text,
    union,
)
from attnexport.models.audit.size_expressions import sympy_expression
from attnexport.models.audit.symbol_ranges import symbol_ranges
from attnexport.models.audit.treespec import input_tree_spec, tree_spec

_DEVICES = ("cpu", "cuda", "mps", "xpu")

device = record({"type": one_of(*_DEVICES)}, {"index": optional(integer)})
_hint = optional(union(as_int=integer, as_bool=boolean, as_float=number))
_expression = record({"expr_str": sympy_expression}, {"hint": _hint})
_sym_int = union(as_expr=_expression, as_int=integer)
_sym_float = union(as_expr=_expression, as_float=number)
_sym_bool = union(as_expr=_expression, as_bool=boolean)
_scalar_type = one_of(*(entry.value for entry in ScalarType if entry is not ScalarType.UNKNOWN))
_STRIDED = 7


def strided(value: object) -> int:
    """The layout of a plain tensor. Kernels trust what the others hold: their indices."""
    if type(value) is not int or value != _STRIDED:
        raise Refusal(
            f"a sparse or other special tensor (layout {shown(value)}): re-export the model with dense tensors"
        )
    return value


tensor_meta = record(
    {
        "dtype": _scalar_type,
        "sizes": list_of(_sym_int),
        "requires_grad": boolean,
        "device": device,
        "strides": list_of(_sym_int),
        "storage_offset": _sym_int,
        "layout": strided,
    }
)
_tensor = record({"name": identifier})
_sym_int_argument = union(as_name=identifier, as_int=integer)
_sym_float_argument = union(as_name=identifier, as_float=number)
_sym_bool_argument = union(as_name=identifier, as_bool=boolean)
_optional_tensor = union(as_tensor=_tensor, as_none=boolean)


def _refused(value: object) -> Any:
    raise Refusal(
        "the program holds a TorchScript or custom Python object, and reading one can run any code: "
        "re-export the model without it"
    )


def _no_operator(value: object) -> Any:
    raise Refusal(
        f"the program gives {shown(value)} to a function, which would call it unchecked: re-export without it"
    )


def _graph(value: object) -> Any:
    return _graph_record(value)


def _argument(value: object) -> Any:
    return _argument_union(value)


_argument_union = union(
    as_none=boolean,
    as_tensor=_tensor,
    as_tensors=list_of(_tensor),
    as_nested_tensors=list_of(list_of(_tensor)),
    as_optional_tensor=_optional_tensor,
    as_optional_tensors=list_of(_optional_tensor),
    as_int=integer,
    as_ints=list_of(integer),
    as_int_lists=list_of(list_of(integer)),
    as_float=number,
    as_floats=list_of(number),
    as_float_lists=list_of(list_of(number)),
    as_complex=record({"real": number, "imag": number}),
    as_bool=boolean,
    as_bools=list_of(boolean),
    as_string=text,
    as_strings=list_of(text),
    as_sym_int=_sym_int_argument,
    as_sym_ints=list_of(_sym_int_argument),
    as_sym_float=_sym_float_argument,
    as_sym_floats=list_of(_sym_float_argument),
    as_sym_bool=_sym_bool_argument,
    as_sym_bools=list_of(_sym_bool_argument),
    as_scalar_type=_scalar_type,
    as_memory_format=one_of(1, 2, 3, 4),
    as_layout=strided,
    as_device=device,
    as_graph=record({"name": identifier, "graph": _graph}),
    as_operator=_no_operator,
    as_string_to_argument=dict_of(identifier, _argument),
    as_custom_obj=_refused,
)


_node_record = record(
    {
        "target": operator_target,
        "inputs": list_of(record({"name": identifier_or_empty, "arg": _argument}, {"kind": optional(one_of(0, 1, 2))})),
        "outputs": list_of(_argument),
        "metadata": layer_names,
    },
    {"is_hop_single_tensor_return": optional(boolean), "name": optional(identifier_or_empty)},
)


def _node(value: object) -> Any:
    checked = _node_record(value)
    operator = operator_of(checked["target"])
    if operator is None:
        check_function_arguments(checked["target"], checked["inputs"])
    else:
        check_arguments(operator, checked["inputs"])
    return checked


def _no_custom_objects(value: object) -> dict[str, Any]:
    return _refused(value) if value else {}


_input_argument = union(
    as_tensor=_tensor,
    as_sym_int=_sym_int_argument,
    as_int=integer,
    as_float=number,
    as_bool=boolean,
    as_none=boolean,
    as_string=plain_text,
    as_custom_obj=_refused,
)
_graph_record = record(
    {
        "inputs": list_of(_input_argument),
        "outputs": list_of(_argument),
        "nodes": list_of(_node),
        "tensor_values": dict_of(identifier, tensor_meta),
        "sym_int_values": dict_of(identifier, _sym_int),
        "sym_bool_values": dict_of(identifier, _sym_bool),
    },
    {
        "is_single_tensor_return": boolean,
        "custom_obj_values": _no_custom_objects,
        "sym_float_values": dict_of(identifier, _sym_float),
    },
)

_constant = union(as_none=boolean, as_int=integer, as_float=number, as_string=plain_text, as_bool=boolean)
_input_spec = union(
    user_input=record({"arg": _argument}),
    parameter=record({"arg": _tensor, "parameter_name": attribute_path}),
    buffer=record({"arg": _tensor, "buffer_name": attribute_path, "persistent": boolean}),
    tensor_constant=record({"arg": _tensor, "tensor_constant_name": attribute_path}),
    constant_input=record({"name": identifier_or_empty, "value": _constant}),
    custom_obj=_refused,
    token=_refused,
)
_output_spec = union(
    user_output=record({"arg": _argument}),
    loss_output=record({"arg": _tensor}),
    buffer_mutation=record({"arg": _tensor, "buffer_name": attribute_path}),
    parameter_mutation=record({"arg": _tensor, "parameter_name": attribute_path}),
    gradient_to_parameter=record({"arg": _tensor, "parameter_name": attribute_path}),
    gradient_to_user_input=record({"arg": _tensor, "user_input_name": identifier}),
    user_input_mutation=record({"arg": _tensor, "user_input_name": identifier}),
    token=_refused,
)
_call_signature = record(
    {
        "inputs": list_of(_argument),
        "outputs": list_of(_argument),
        "in_spec": input_tree_spec,
        "out_spec": tree_spec,
    },
    {"forward_arg_names": optional(list_of(identifier))},
)
_module_call = record({"fqn": attribute_path_or_empty}, {"signature": optional(_call_signature)})


def _schema_version(value: object) -> Any:
    checked = record({"major": integer, "minor": integer})(value)
    if checked["major"] != SCHEMA_VERSION[0]:
        raise Refusal(
            f"written in schema version {checked['major']}, this torch reads version {SCHEMA_VERSION[0]}: "
            "re-export the model with this version of torch"
        )
    return checked


_program = record(
    {
        "graph_module": record(
            {
                "graph": _graph,
                "signature": record({"input_specs": list_of(_input_spec), "output_specs": list_of(_output_spec)}),
                "module_call_graph": list_of(_module_call),
            },
            {
                "metadata": lambda value: {},
                "treespec_namedtuple_fields": dict_of(plain_text, record({"field_names": list_of(identifier)})),
            },
        ),
        "opset_version": dict_of(plain_text, integer),
        "range_constraints": symbol_ranges,
        "schema_version": _schema_version,
    },
    {
        "verifiers": list_of(one_of("TRAINING", "ATEN", "")),
        "torch_version": plain_text,
        "guards_code": list_of(guard_code),
    },
)


def _with_live_nodes(program: dict[str, Any]) -> dict[str, Any]:
    """The program without what its outputs do not show."""
    module = program["graph_module"]
    shown_elsewhere = names_in([module["signature"], module["module_call_graph"]])
    graph = without_dead_nodes(module["graph"], frozenset(shown_elsewhere))
    return {**program, "graph_module": {**module, "graph": graph}}


def audit_program(data: bytes) -> bytes:
    """Check models/model.json.

    Returns:
        The rebuilt JSON.

    Raises:
        Refusal: anything in it is not on the allow-list.
    """
    try:
        value = json.loads(data.decode("utf-8"))
        if isinstance(value, dict) and "schema_version" in value:
            _schema_version(value["schema_version"])
        program = _program(value)
        at(".graph_module.graph", check_arithmetic, program["graph_module"]["graph"])
        return json.dumps(_with_live_nodes(program), separators=(",", ":")).encode()
    except (ValueError, RecursionError) as error:
        raise Refusal(f"models/model.json is not a program: {type(error).__name__}") from None
