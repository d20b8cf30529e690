"""The two little languages in a program: shape expressions (read by sympy) and guards (run as Python)."""

from __future__ import annotations

import ast
import re
from typing import TypeGuard

from attnexport.pt2_safety.shapes import Refusal, is_identifier, shown, words

MAX_EXPRESSION = 20_000
_MAX_BRACKETS = 100
_MAX_CHAIN = 600
_CHAINED = re.compile(r"[-+*/%<>!&|^~.:@]|[)\]}]\s*[(\[{]|\b(?:not|and|or|if|else|lambda|await|for|in|is)\b")

_SYMPY_CALLS = words("""
    Abs Add And BooleanFalse BooleanTrue CeilDiv CeilToInt CleanDiv Eq Equality ExprCondPair FloatPow
    FloatTrueDiv FloorDiv FloorToInt Ge GreaterThan Gt Identity IntTrueDiv IsNonOverlappingAndDenseIndicator
    LShift Le LessThan Lt Max Min Mod ModularIndexing Mul Ne Not Or Piecewise Pow PowByNatural PythonMod
    RShift RoundDecimal RoundToInt StrictGreaterThan StrictLessThan ToFloat TruncToFloat TruncToInt Tuple
    Unequality Where Xor acos asin atan ceiling cos cosh exp floor log sign sin sinh sqrt tan tanh
    """)
_OPAQUE_CALL = re.compile(r"(OpaqueUnaryFn|BitwiseFn)_[a-z0-9_]{1,32}")
_SYMPY_NAMES = frozenset({"true", "false", "oo", "int_oo", "nan", "zoo"})
_ASSUMPTIONS = words(
    "commutative extended_real finite integer negative nonnegative nonpositive nonzero positive rational real"
)
_FLOAT = re.compile(r"-?[0-9.]{1,64}(e[+-]?[0-9]{1,5})?|[+-]?inf|nan")


def sympy_expression(value: object) -> str:
    """A symbolic size as ``sympy.srepr`` writes it. torch gives this text to sympify, which evaluates it."""
    tree = _parse(value, "a size expression")
    if not _is_sympy(tree):
        raise Refusal(f"{shown(value)} is not a size expression, and torch would evaluate it as Python code")
    return ast.unparse(tree)


def _parse(value: object, what: str) -> ast.expr:
    if not isinstance(value, str) or len(value) > MAX_EXPRESSION:
        raise Refusal(f"expected {what}, given {shown(value)}")
    if _nests_too_deeply(value):
        raise Refusal(f"{shown(value)} nests too deeply for {what}")
    try:
        return ast.parse(value.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Refusal(f"{shown(value)} is not {what}") from None


def _nests_too_deeply(code: str) -> bool:
    """Whether ast.parse could run out of stack, after which CPython 3.11 fails on every later parse."""
    depth = deepest = 0
    for character in code:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest > _MAX_BRACKETS or len(_CHAINED.findall(code)) > _MAX_CHAIN


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        node = node.operand
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _is_sympy(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _SYMPY_NAMES
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return _is_number(node)
    name = node.func.id
    options = {option.arg: option.value for option in node.keywords}
    if len(options) != len(node.keywords):
        return False
    if name == "Symbol":
        return (
            len(node.args) == 1
            and isinstance(node.args[0], ast.Constant)
            and is_identifier(node.args[0].value)
            and all(
                key in _ASSUMPTIONS and isinstance(option, ast.Constant) and type(option.value) is bool
                for key, option in options.items()
            )
        )
    if name == "Float":
        return (
            len(node.args) == 1
            and (_is_number(node.args[0]) or _is_float_text(node.args[0]))
            and all(key in ("precision", "dps") and _is_number(option) for key, option in options.items())
        )
    if options:
        return False
    if name in ("Integer", "Rational"):
        return 1 <= len(node.args) <= 2 and all(map(_is_number, node.args))
    return (name in _SYMPY_CALLS or bool(_OPAQUE_CALL.fullmatch(name))) and all(map(_is_sympy, node.args))


def _is_float_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(_FLOAT.fullmatch(node.value.lower()))


_BINARY = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.LShift, ast.RShift)
_BINARY_BITS = (ast.BitAnd, ast.BitOr, ast.BitXor)
_COMPARE = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_GUARD_CALLS = words("""
    IsNonOverlappingAndDenseIndicator abs bool cast_symbool_to_symint_guardless float int max min round
    """)
_MATH = words("acos asin atan ceil cos cosh exp floor isnan log log2 sin sinh sqrt tan tanh trunc")
_TORCH = words("""
    sym_float sym_int sym_ite sym_max sym_min sym_not _sym_acos _sym_asin _sym_atan _sym_cos _sym_cosh
    _sym_log2 _sym_sin _sym_sinh _sym_sqrt _sym_tan _sym_tanh
    """)
_SIZE_METHODS = ("size", "stride", "storage_offset", "numel", "dim")
_KEY = re.compile(r"[\w \-+:@/.,]{0,128}")


def guard_code(value: object) -> str:
    """A condition on the inputs, such as ``L['x'].size()[0] % 8 == 0``. torch runs this text as Python."""
    tree = _parse(value, "a condition on the inputs")
    if not _is_guard(tree):
        raise Refusal(f"the guard {shown(value)} is not a condition on sizes, and torch would run it")
    return ast.unparse(tree)


def is_plain_key(value: object) -> TypeGuard[str | int]:
    """Whether a dict key can stand inside quotes in generated code."""
    if isinstance(value, str):
        return bool(_KEY.fullmatch(value)) and not (value.startswith("__") and value.endswith("__"))
    return type(value) in (int, bool)


def _is_guard(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return type(node.value) in (int, float, bool)
    if isinstance(node, ast.Name):
        return node.id == "inf"
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, (ast.USub, ast.UAdd, ast.Not)) and _is_guard(node.operand)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, (*_BINARY, *_BINARY_BITS)) and _is_guard(node.left) and _is_guard(node.right)
    if isinstance(node, ast.BoolOp):
        return all(map(_is_guard, node.values))
    if isinstance(node, ast.Compare):
        return all(isinstance(op, _COMPARE) for op in node.ops) and all(map(_is_guard, (node.left, *node.comparators)))
    if isinstance(node, ast.IfExp):
        return all(map(_is_guard, (node.test, node.body, node.orelse)))
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "math":
        return node.attr in ("inf", "nan", "pi", "e")
    if isinstance(node, ast.Call) and _is_function(node.func):
        return not node.keywords and all(map(_is_guard, node.args))
    return _is_source(node)


def _is_function(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _GUARD_CALLS
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
