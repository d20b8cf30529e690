"""Which functions a program may call: torch looks each up by name below `torch`, `math` and `operator`.

Operators of aten are those in operators.txt: see tests/models/audit/operator_list.py for where the list comes from, and
docs/security.md for how it was run with hostile arguments, what was found, and which were left out of that.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from pathlib import Path

import torch

from attnexport.messages import option
from attnexport.models.audit.checked import NAMESPACE, checked_version
from attnexport.models.audit.shapes import Refusal, shown, words

# The packages that register the operators of a namespace; all others are registered by torch itself.
_REGISTERED_BY = {
    "attnexport": "attnexport.variants",
    "quantized_decomposed": "torch.ao.quantization.fx._decomposed",
}

_LISTED_NAMESPACES = frozenset({"aten", "prims", *_REGISTERED_BY})

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


@functools.cache
def listed_operators() -> frozenset[str]:
    """The operators that a program may call, as `aten.add.Tensor`."""
    return words(Path(__file__).with_name("operators.txt").read_text())


def operator_target(value: object) -> str:
    """The name of the function that a node may call: the one that it names, or one that checks its arguments first.

    Raises:
        Refusal: a function that no program may call, or that the installed torch does not have.
    """
    if not isinstance(value, str) or not all(map(str.isidentifier, value.split("."))):
        raise Refusal(f"{shown(value)} is not the name of an operator")
    if value in _SYM_FUNCTIONS:
        return value
    match value.split("."):
        case ["torch", "ops", "higher_order", name] if name in _HIGHER_ORDER:
            return value
        case ["torch", "ops", namespace, name, overload] if _is_listed(namespace, name, overload):
            checked = checked_version(name, overload) if namespace in ("aten", NAMESPACE) else None
            operator_of(checked or value)
            return checked or value
        case ["torch", "ops", namespace, _, _] if namespace in _LISTED_NAMESPACES:
            raise Refusal(
                f"the program calls {shown(value)}, which is not on the list of operators that a model file may call: "
                f"write the model without it, or give your own model as {option('--model', 'pkg.module:factory')}"
            )
    raise Refusal(
        f"the program calls {shown(value)}, which is not an operator that a model file may call: "
        "re-export the model with operators of aten or attnexport"
    )


def has_no_effect(target: str) -> bool:
    """Whether an allowed function only computes its results: it writes into nothing, asserts and switches nothing."""
    match target.split("."):
        case ["torch", "ops", "higher_order", _]:
            return True
        case ["torch", "ops", _, name, _]:
            found = operator_of(target)
            return (
                found is not None and not found._schema.is_mutable and "assert" not in name and "constrain" not in name
            )
    return target.startswith(("_operator.", "math.", "torch.sym_", "torch._sym_"))


def _is_listed(namespace: str, name: str, overload: str) -> bool:
    if namespace == "attnexport":
        return "backward" not in name
    return f"{'aten' if namespace == NAMESPACE else namespace}.{name}.{overload}" in listed_operators()


@functools.cache
def operator_of(target: str) -> torch._ops.OpOverload | None:
    """The operator of an allowed target, None for a function that is none.

    Raises:
        Refusal: the installed torch does not have it.
    """
    match target.split("."):
        case ["torch", "ops", namespace, name, overload]:
            if namespace in _REGISTERED_BY:
                importlib.import_module(_REGISTERED_BY[namespace])
            with contextlib.suppress(AttributeError, RuntimeError):
                found = getattr(getattr(getattr(torch.ops, namespace), name), overload)
                if isinstance(found, torch._ops.OpOverload):
                    return found
            raise Refusal(
                f"the program calls {shown(target)}, which this version of torch does not have: re-export the model "
                "with this version"
            )
    return None
