"""The notes beside a node, of which one stays: the path of the module that made it."""

from __future__ import annotations

import re

_MODULE_STACK = re.compile(r"[\w .,;:()\[\]<>\-+@/']{1,4000}")


def layer_names(value: object) -> dict[str, str]:
    """Of the notes beside a node only the module path stays: it names layers and is never run."""
    stack = value.get("nn_module_stack") if isinstance(value, dict) else None
    if isinstance(stack, str) and _MODULE_STACK.fullmatch(stack):
        return {"nn_module_stack": stack} if all(map(_has_three_parts, stack.split(";"))) else {}
    return {}


def _has_three_parts(entry: str) -> bool:
    depth, commas = 0, 0
    for character in entry:
        depth += (character in "[(") - (character in ")]")
        commas += character == "," and depth == 0
    return commas == 2
