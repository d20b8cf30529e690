"""Which functions a program may call: torch looks each up by name below `torch`, `math` and `operator`."""

from __future__ import annotations

import functools
import importlib
import re
from typing import Any

import torch

from attnexport.pt2_safety.shapes import Refusal, shown, words

# The packages that register the operators of a namespace; all others are registered by torch itself.
_REGISTERED_BY = {
    "attnexport": "attnexport.variants",
    "quantized_decomposed": "torch.ao.quantization.fx._decomposed",
    "torchao": "torchao",
    "torchvision": "torchvision",
}
_NAMESPACES = frozenset({"aten", "prims", *_REGISTERED_BY})

_SYM_FUNCTIONS = frozenset(
    [
        f"_operator.{name}"
        for name in words("""
        abs add and_ eq floordiv ge getitem gt le lshift lt mod mul ne neg not_ or_ pos pow rshift sub truediv
        """)
    ]
    + [f"math.{name}" for name in ("ceil", "floor", "trunc")]
    + [
        f"torch.{name}"
        for name in words("""
        sym_float sym_int sym_ite sym_max sym_min sym_not sym_sqrt sym_sum _sym_sqrt
        """)
    ]
    + ["torch._C._set_grad_enabled"]
    + [f"torch.amp.autocast_mode.{name}" for name in ("_enter_autocast", "_exit_autocast")]
    + [
        f"torch._functorch.predispatch.{name}"
        for name in words("""
        _add_batch_dim _remove_batch_dim _vmap_decrement_nesting _vmap_increment_nesting
        lazy_load_decompositions
        """)
    ]
)

# Control flow over graphs of the same file. The others wrap compiled kernels, TorchScript objects,
# Python callables, printing or process groups.
_HIGHER_ORDER = words("""
    associative_scan cond map_impl scan while_loop wrap_with_autocast wrap_with_set_grad_enabled
    """)

_WITHOUT_TENSORS = words("""
    aten::_assert_scalar aten::sym_constrain_range aten::sym_constrain_range_for_size aten::scalar_tensor
    """)
_VALUE_TYPES = re.compile(
    r"(Tensor|int|float|bool|complex|number|Scalar|SymInt|SymFloat|SymBool|Device|ScalarType|Layout|MemoryFormat)"
)
# What a text may mean for an operator: a mode or a message, never the name of a file.
_TEXT_ARGUMENTS = words("""
    UPLO activation algorithm api_name approximate assert_msg driver equation indexing interpolation
    mapping_type mode norm ord p pad_mode padding padding_mode padding_side reduce rounding_mode side
    zero_point_domain
    """)
_UNCHECKED_MEMORY = re.compile(r"unsafe(?!_view$|_split|_chunk|_index)|^set_|^set$|^set_data$|^_resize|^resize_")


def operator_target(value: object) -> str:
    """The name of a function that a node calls, or that a higher-order operator is given."""
    if not isinstance(value, str) or not all(map(str.isidentifier, value.split("."))):
        raise Refusal(f"{shown(value)} is not the name of an operator")
    if value in _SYM_FUNCTIONS:
        return value
    match value.split("."):
        case ["torch", "ops", "higher_order", name] if name in _HIGHER_ORDER:
            return value
        case ["torch", "ops", namespace, name, overload] if namespace in _NAMESPACES:
            reason = _refused_operator(namespace, name, overload)
            if reason is None:
                return value
            raise Refusal(f"the program calls {shown(value)}, {reason}")
    raise Refusal(
        f"the program calls {shown(value)}, which is not an operator that a model file may call: "
        f"re-export the model with operators of aten or attnexport"
    )


@functools.cache
def _refused_operator(namespace: str, name: str, overload: str) -> str | None:
    if not _register(namespace):
        return f"which needs the package {_REGISTERED_BY[namespace].partition('.')[0]}: install it"
    try:
        found: Any = getattr(getattr(getattr(torch.ops, namespace), name), overload)
    except (AttributeError, RuntimeError):
        return "which this version of torch does not have: re-export the model with this version"
    if not isinstance(found, torch._ops.OpOverload):
        return "which is not an operator"
    if namespace == "attnexport":
        return None
    if _UNCHECKED_MEMORY.search(name):
        return "which could read or write memory outside its tensors: re-export the model without it"
    schema = found._schema
    types = {argument.name: str(argument.type) for argument in schema.arguments}
    for argument, kind in types.items():
        bare = re.sub(r"Optional\[(.*)\]", r"\1", kind)
        if bare in ("str", "List[str]"):
            if argument not in _TEXT_ARGUMENTS:
                return f"whose argument {argument!r} could name a file: re-export the model without it"
        elif bare != "Generator" and not _VALUE_TYPES.fullmatch(re.sub(r"List\[(.*)\]", r"\1", bare)):
            return f"whose argument {argument!r} of type {kind} is not a tensor or a number"
    everything = [*types.values(), *(str(result.type) for result in schema.returns)]
    if any("Tensor" in kind for kind in everything) or schema.name in _WITHOUT_TENSORS:
        return None
    return "which computes nothing on tensors: re-export the model without it"


def _register(namespace: str) -> bool:
    package = _REGISTERED_BY.get(namespace)
    if package is None:
        return True
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True
