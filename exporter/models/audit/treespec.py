"""How inputs and outputs nest. torch's reader imports modules that the text names; only known types pass."""

from __future__ import annotations

import json
from typing import Any

from torch.utils import _pytree as pytree

from attnexport.models.audit.expressions import is_plain_key
from attnexport.models.audit.shapes import Refusal, identifier, shown

_MAX_DEPTH = 64
_SEQUENCES = frozenset(
    {"builtins.tuple", "builtins.list", "torch.Size", "torch.fx.immutable_collections.immutable_list"}
)
_MAPPINGS = frozenset({"builtins.dict", "collections.OrderedDict", "torch.fx.immutable_collections.immutable_dict"})
_FACTORIES = frozenset({"bool", "dict", "float", "int", "list", "set", "str", "tuple"})


def tree_spec(value: object) -> str:
    """A serialised pytree.TreeSpec, rebuilt from its checked parts."""
    return json.dumps([1, _node(_tree_of(value))])


def input_tree_spec(value: object) -> str:
    """As tree_spec, for inputs: ((positional), {by name}), whose names torch pastes into Python source."""
    tree = _tree_of(value)
    rebuilt = _node(tree)
    children = rebuilt["children_spec"]
    if len(children) == 2 and children[1]["type"] == "builtins.dict":
        for name in json.loads(children[1]["context"]):
            identifier(name)
    return json.dumps([1, rebuilt])


def _tree_of(value: object) -> object:
    loaded = _json(value)
    if not isinstance(loaded, list) or len(loaded) != 2 or loaded[0] != 1:
        raise Refusal(f"{shown(value)} is not a tree of inputs that this version reads")
    return loaded[1]


def _json(value: object) -> Any:
    if not isinstance(value, str):
        raise Refusal(f"expected a text that holds JSON, given {shown(value)}")
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise Refusal(f"{shown(value)} is not JSON") from None


def _node(value: object, depth: int = 0) -> dict[str, Any]:
    if depth > _MAX_DEPTH:
        raise Refusal(f"inputs nest deeper than {_MAX_DEPTH} levels")
    if not isinstance(value, dict) or not isinstance(value.get("children_spec"), list):
        raise Refusal(f"{shown(value)} is not a tree of inputs")
    kind = value.get("type")
    children = [_node(child, depth + 1) for child in value["children_spec"]]
    if kind is None:
        if children or value.get("context") is not None:
            raise Refusal(f"{shown(value)} is not a single input")
        return {"type": None, "context": None, "children_spec": []}
    return {"type": kind, "context": _context(kind, value.get("context")), "children_spec": children}


def _context(kind: object, context: object) -> Any:
    if kind == "collections.defaultdict":
        return _default_dict(context)
    if kind == "collections.namedtuple":
        known = pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE.get(context) if isinstance(context, str) else None
        if known is None or not pytree.is_namedtuple_class(known):
            raise _unknown_type(context)
        return context
    loaded = _json(context)
    if kind in _SEQUENCES:
        if loaded is not None:
            raise Refusal(f"{shown(context)} is not the context of a sequence")
    elif kind == "collections.deque":
        if loaded is not None and type(loaded) is not int:
            raise Refusal(f"{shown(context)} is not the length of a deque")
    elif kind in _MAPPINGS:
        _keys(loaded)
    elif _registered_without_reader(kind):
        _plain(loaded)
    else:
        raise _unknown_type(kind)
    return json.dumps(loaded)


def _unknown_type(kind: object) -> Refusal:
    return Refusal(
        f"the model takes or returns a {shown(kind)}, which is not registered here: export a model "
        "that takes and returns tensors, tuples, lists and dicts"
    )


def _keys(loaded: object) -> list[object]:
    if not isinstance(loaded, list) or not all(map(is_plain_key, loaded)):
        raise Refusal(f"{shown(loaded)} are not dict keys of letters, digits and spaces")
    return loaded


def _default_dict(context: object) -> dict[str, Any]:
    if (
        not isinstance(context, dict)
        or set(context) != {"default_factory_module", "default_factory_name", "dict_context"}
        or context["default_factory_module"] != "builtins"
        or context["default_factory_name"] not in _FACTORIES
    ):
        raise Refusal(f"the default of a defaultdict, {shown(context)}, is not a builtin container or number")
    return {**context, "dict_context": _keys(context["dict_context"])}


def _registered_without_reader(kind: object) -> bool:
    """Whether this process registered the type itself, and its context is plain JSON (dataclasses are)."""
    known = pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE.get(kind) if isinstance(kind, str) else None
    if known is None or kind == pytree.NO_SERIALIZED_TYPE_NAME_FOUND:
        return False
    return pytree.SUPPORTED_SERIALIZED_TYPES[known].from_dumpable_context is None


def _plain(loaded: object) -> None:
    """Lists of names: an object in JSON may ask torch to import an enum."""
    if isinstance(loaded, list):
        for entry in loaded:
            _plain(entry)
    elif loaded is not None and not is_plain_key(loaded):
        raise Refusal(f"{shown(loaded)} is not a plain name")
