"""Symbolic sizes as ``sympy.srepr`` writes them. torch gives this text to sympify, which evaluates it."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from attnexport.models.audit import bounds
from attnexport.models.audit.bounds import A_SIZE, Bound
from attnexport.models.audit.expressions import number_in, parsed
from attnexport.models.audit.shapes import Refusal, shown, words
from attnexport.models.identifiers import is_identifier

_MAX_PRECISION = 64
_MAX_COMPARED = 16
_MAX_SYMBOLS = 64

_SUMS = frozenset({"Add"})
_PRODUCTS = frozenset({"Mul"})
_POWERS = words("Pow PowByNatural FloatPow")
_SHIFTS = words("LShift RShift")
# sympy compares each of their arguments with each other, or rewrites them all.
_COMPARING = words("And Max Min Or Piecewise Xor")
_OTHERS = words("""
    Abs BooleanFalse BooleanTrue CeilDiv CeilToInt CleanDiv Eq Equality ExprCondPair FloatTrueDiv FloorDiv FloorToInt
    Ge GreaterThan Gt Identity IntTrueDiv IsNonOverlappingAndDenseIndicator Le LessThan Lt Mod ModularIndexing Ne Not
    PythonMod RoundDecimal RoundToInt StrictGreaterThan StrictLessThan ToFloat TruncToFloat TruncToInt Tuple
    Unequality Where ceiling floor sign
    """)
_CALLS = _SUMS | _PRODUCTS | _POWERS | _SHIFTS | _COMPARING | _OTHERS
_OPAQUE_CALL = re.compile(r"(OpaqueUnaryFn|BitwiseFn)_[a-z0-9_]{1,32}")
_NAMES = frozenset({"true", "false", "oo", "int_oo", "nan", "zoo"})
_ASSUMPTIONS = words(
    "commutative extended_real finite integer negative nonnegative nonpositive nonzero positive rational real"
)
_FLOAT = re.compile(r"-?[0-9.]{1,64}(e[+-]?[0-9]{1,3})?|[+-]?inf|nan")


def sympy_expression(value: object) -> str:
    """A size expression, rebuilt from what was checked.

    Raises:
        Refusal: other code, or a formula that would take too long to evaluate.
    """
    tree = parsed(value, "a size expression")
    _bound(tree, shown(value))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {ast.unparse(node.args[0]) for node in calls if _called(node) == "Symbol"}
    compared = sum(len(node.args) for node in calls if _called(node) in _COMPARING)
    if len(names) > _MAX_SYMBOLS or compared > _MAX_COMPARED:
        raise Refusal(
            f"{shown(value)} has over {_MAX_SYMBOLS} names or compares over {_MAX_COMPARED} values: "
            "re-export the model with simpler sizes"
        )
    return ast.unparse(tree)


def _bound(node: ast.expr, text: str) -> Bound:
    if isinstance(node, ast.Name) and node.id in _NAMES:
        return A_SIZE
    written = number_in(node)
    if written is not None:
        return bounds.number(written)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise _not_an_expression(text)
    name = node.func.id
    options = {option.arg: option.value for option in node.keywords}
    if len(options) != len(node.keywords):
        raise _not_an_expression(text)
    if name == "Symbol" and _is_plain_symbol(node, options):
        return A_SIZE
    if name == "Float" and len(node.args) == 1 and all(map(_is_precision, options.items())):
        return _float(node.args[0], text)
    if options:
        raise _not_an_expression(text)
    if name in ("Integer", "Rational"):
        return _fraction([number_in(argument) for argument in node.args], text)
    if name in _CALLS or _OPAQUE_CALL.fullmatch(name):
        return _of_call(name, [_bound(argument, text) for argument in node.args], text)
    raise _not_an_expression(text)


def _not_an_expression(text: str) -> Refusal:
    return Refusal(f"{text} is not a size expression, and torch would evaluate it as Python code")


def _of_call(name: str, operands: Sequence[Bound], text: str) -> Bound:
    if name in _SUMS:
        return bounds.added(operands)
    if name in _PRODUCTS:
        return bounds.multiplied(operands)
    if name in _POWERS or name in _SHIFTS:
        if len(operands) != 2:
            raise _not_an_expression(text)
        return bounds.raised(*operands) if name in _POWERS else bounds.shifted(*operands)
    return bounds.rounded(operands) if name == "RoundDecimal" else bounds.anything_of(operands)


def _fraction(parts: Sequence[float | None], text: str) -> Bound:
    if not 1 <= len(parts) <= 2 or any(part is None for part in parts):
        raise _not_an_expression(text)
    top, bottom = [*(part for part in parts if part is not None), 1][:2]
    bound = bounds.anything_of([bounds.number(top), bounds.number(bottom)])
    return Bound(bound.bits, 1, 1, top / bottom if bottom and bound.bits <= 64 else None)


def _float(node: ast.expr, text: str) -> Bound:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and _FLOAT.fullmatch(node.value.lower()):
        try:
            return bounds.number(float(node.value))
        except ValueError:
            raise _not_an_expression(text) from None
    written = number_in(node)
    if written is None:
        raise _not_an_expression(text)
    return bounds.number(written)


def _is_precision(option: tuple[str | None, ast.expr]) -> bool:
    name, node = option
    digits = number_in(node)
    return name in ("precision", "dps") and type(digits) is int and 0 < digits <= _MAX_PRECISION


def _is_plain_symbol(node: ast.Call, options: dict[str | None, ast.expr]) -> bool:
    return (
        len(node.args) == 1
        and isinstance(node.args[0], ast.Constant)
        and is_identifier(node.args[0].value)
        and all(
            key in _ASSUMPTIONS and isinstance(option, ast.Constant) and type(option.value) is bool
            for key, option in options.items()
        )
    )


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""
