"""Conditions on the inputs, such as ``L['x'].size()[0] % 8 == 0``. torch runs these texts as Python."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from attnexport.models.audit import bounds
from attnexport.models.audit.bounds import A_SIZE, Bound
from attnexport.models.audit.expressions import is_plain_key, number_in, parsed
from attnexport.models.audit.shapes import Refusal, shown, words
from attnexport.models.identifiers import is_identifier

_OTHERS = (ast.Div, ast.FloorDiv, ast.Mod, ast.BitAnd, ast.BitOr, ast.BitXor)
_COMPARE = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_CALLS = words("IsNonOverlappingAndDenseIndicator abs bool cast_symbool_to_symint_guardless float int max min round")
_MATH = words("acos asin atan ceil cos cosh exp floor isnan log log2 sin sinh sqrt tan tanh trunc")
_TORCH = words("""
    sym_float sym_int sym_ite sym_max sym_min sym_not _sym_acos _sym_asin _sym_atan _sym_cos _sym_cosh
    _sym_log2 _sym_sin _sym_sinh _sym_sqrt _sym_tan _sym_tanh
    """)
_SIZE_METHODS = ("size", "stride", "storage_offset", "numel", "dim")
_MAX_REPEATED = 2**16


def guard_code(value: object) -> str:
    """A condition, rebuilt from what was checked.

    Raises:
        Refusal: other code, or numbers that would take too long to compute.
    """
    tree = parsed(value, "a condition on the inputs")
    _bound(tree, shown(value))
    return ast.unparse(tree)


def _bound(node: ast.expr, text: str) -> Bound:
    written = number_in(node)
    if written is not None:
        return bounds.number(written)
    if isinstance(node, ast.BinOp):
        return _of_operator(node, text)
    operands = _operands(node)
    if operands is not None:
        parts = [_bound(operand, text) for operand in operands]
        return bounds.rounded(parts) if _is_call_of(node, "round") else bounds.anything_of(parts)
    if _is_constant(node) or _is_source(node):
        return A_SIZE
    raise Refusal(f"the guard {text} is not a condition on sizes, and torch would run it")


def _of_operator(node: ast.BinOp, text: str) -> Bound:
    left, right = _bound(node.left, text), _bound(node.right, text)
    match node.op:
        case ast.Add() | ast.Sub():
            return bounds.added([left, right])
        case ast.Mult():
            _refuse_long_texts(node, text)
            return bounds.multiplied([left, right])
        case ast.Mod():
            _refuse_long_texts(node, text)
        case ast.Pow():
            return bounds.raised(left, right)
        case ast.LShift() | ast.RShift():
            return bounds.shifted(left, right)
    if isinstance(node.op, _OTHERS):
        return bounds.anything_of([left, right])
    raise Refusal(f"the guard {text} is not a condition on sizes, and torch would run it")


def _refuse_long_texts(node: ast.BinOp, text: str) -> None:
    """An input may be a text or a list: a product is that many copies, a remainder fills in a text's fields."""
    for factor, other in ((node.left, node.right), (node.right, node.left)):
        times = number_in(other)
        small = times is not None and abs(times) <= _MAX_REPEATED and isinstance(node.op, ast.Mult)
        if _may_be_text(factor) and not small:
            raise Refusal(f"the guard {text} multiplies or divides an input that need not be a number")


def _may_be_text(node: ast.AST) -> bool:
    if isinstance(node, ast.expr) and _is_source(node):
        return not _is_number_of_input(node)
    return any(map(_may_be_text, ast.iter_child_nodes(node)))


def _is_number_of_input(source: ast.expr) -> bool:
    """``L['x'].size()[0]`` and ``L['x'].numel()``, but not ``L['x']`` or ``L['x'].size()``."""
    if isinstance(source, ast.Subscript):
        source = source.value
        return isinstance(source, ast.Call) and _method(source) in ("size", "stride")
    return isinstance(source, ast.Call) and _method(source) not in ("size", "stride")


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _operands(node: ast.expr) -> Sequence[ast.expr] | None:
    """What an operation that makes nothing larger works on, None for anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd, ast.Not)):
        return [node.operand]
    if isinstance(node, ast.BoolOp):
        return node.values
    if isinstance(node, ast.Compare) and all(isinstance(op, _COMPARE) for op in node.ops):
        return [node.left, *node.comparators]
    if isinstance(node, ast.IfExp):
        return [node.test, node.body, node.orelse]
    if isinstance(node, ast.Call) and _is_function(node.func) and not node.keywords:
        return node.args
    return None


def _is_constant(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return type(node.value) is bool
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "math":
        return node.attr in ("inf", "nan", "pi", "e")
    return isinstance(node, ast.Name) and node.id == "inf"


def _is_call_of(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _is_function(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _CALLS
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        allowed = {"math": _MATH, "torch": _TORCH}.get(node.value.id, frozenset())
        return node.attr in allowed
    return False


def _is_source(node: ast.expr) -> bool:
    """An input, a part of one, or a size of one: ``L['x']``, ``L['x']['k'][0]``, ``L['p'].a.size()[1]``."""
    if isinstance(node, ast.Name):
        return node.id == "L"
    if isinstance(node, ast.Subscript):
        index = node.slice
        plain = isinstance(index, ast.Constant) and is_plain_key(index.value)
        return plain and _is_source(node.value)
    if isinstance(node, ast.Attribute):
        return is_identifier(node.attr) and not node.attr.startswith("_") and _is_source(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        bare = not node.args and not node.keywords
        return bare and node.func.attr in _SIZE_METHODS and _is_source(node.func.value)
    return False
