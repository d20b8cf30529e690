"""The key ``schema`` of what is written as JSON: attnexport.NAME/VERSION, the version a whole number."""

from __future__ import annotations

import json
from typing import Any


def entries_of(schema: str, given: Any, advice: str) -> dict[str, Any]:
    """What a JSON object of a schema holds beside its name and version.

    Args:
        schema: the one expected, as ``attnexport.engine/1``.
        given: what was read; files that have no ``schema`` give its version as ``format``.
        advice: what to do about another one, an imperative.

    Raises:
        ValueError: no object, or one of another schema.
    """
    if not isinstance(given, dict):
        raise ValueError(f"expected an object, given {json.dumps(given)[:80]}")
    entries = dict(given)
    version, said = entries.pop("format", None), entries.pop("schema", None)
    if said is None and version is not None:
        said = f"{schema.partition('/')[0]}/{version}"
    if said != schema:
        raise ValueError(f"schema: expected {schema}, given {json.dumps(said)[:80]}: {advice}")
    return entries
