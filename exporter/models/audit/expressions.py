"""What the two little languages in a program share: texts that become a syntax tree, and no code."""

from __future__ import annotations

import ast
import re
from typing import TypeGuard

from attnexport.models.audit.shapes import Refusal, shown

MAX_EXPRESSION = 20_000
_MAX_BRACKETS = 100
_MAX_CHAIN = 600
_CHAINED = re.compile(r"[-+*/%<>!&|^~.:@]|[)\]}]\s*[(\[{]|\b(?:not|and|or|if|else|lambda|await|for|in|is)\b")
_KEY = re.compile(r"[\w \-+:@/.,]{0,128}")


def parsed(value: object, what: str) -> ast.expr:
    """The syntax tree of a text. Raises Refusal: it is none, or nests too deeply."""
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


def number_in(node: ast.expr) -> int | float | None:
    """The number that is written there, None for anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        inner = number_in(node.operand)
        return -inner if inner is not None and isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        value: int | float = node.value  # type: ignore[assignment]
        return value
    return None


def is_plain_key(value: object) -> TypeGuard[str | int]:
    """Whether a dict key can stand inside quotes in generated code."""
    if isinstance(value, str):
        return bool(_KEY.fullmatch(value)) and not (value.startswith("__") and value.endswith("__"))
    return type(value) in (int, bool)
