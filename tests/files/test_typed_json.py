"""JSON read back as the data classes that it was written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from attnexport.files.typed_json import parsed, read_json, typed


@dataclass(frozen=True)
class Inner:
    name: str
    share: float | None


@dataclass(frozen=True)
class Outer:
    inner: Inner
    sizes: tuple[int, ...]
    by_name: Mapping[str, Inner]
    format: int = 1


GOOD = Outer(Inner("größe", 0.5), (1, 2), {"a": Inner("b", None)})
WRITTEN = {**asdict(GOOD), "sizes": [1, 2]}


def test_what_was_written_comes_back():
    assert typed(Outer, WRITTEN) == GOOD
    assert typed(Outer, {**WRITTEN, "inner": {"name": "x", "share": 3}}).inner.share == 3.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"inner": {"name": 5, "share": 1.0}}, "inner.name: expected a text, given 5"),
        ({"inner": {"name": "x"}}, "inner.share: expected a value, given none"),
        ({"inner": {"name": "x", "share": "1"}}, 'inner.share: expected a finite number, given "1"'),
        ({"inner": {"name": "x", "share": float("inf")}}, "inner.share: expected a finite number, given Infinity"),
        ({"inner": {"name": "x", "share": 10**400}}, "inner.share: expected a finite number, given 1000"),
        ({"inner": []}, r"inner: expected an object, given \[\]"),
        ({"sizes": [1, "2"]}, r'sizes\[1\]: expected a whole number, given "2"'),
        ({"sizes": [True]}, r"sizes\[0\]: expected a whole number, given true"),
        ({"sizes": 3}, "sizes: expected a list, given 3"),
        ({"by_name": {"a": {"name": None, "share": None}}}, "by_name.a.name: expected a text, given null"),
        ({"more": 1}, "more: no such key is known"),
    ],
)
def test_what_is_of_another_type_is_named(change, said):
    with pytest.raises(ValueError, match=said):
        typed(Outer, {**WRITTEN, **change})


def test_a_missing_key_is_named():
    with pytest.raises(ValueError, match="sizes: expected a value, given none"):
        typed(Outer, {name: value for name, value in WRITTEN.items() if name != "sizes"})


@pytest.mark.parametrize("text", ["", "{", "NaN", '{"a": Infinity}', "[" * 100_000, "1" * 5000])
def test_text_that_is_no_json(text: str):
    with pytest.raises(ValueError, match=r"expected|Exceeds"):
        parsed(text)


def test_bytes_that_are_no_utf8(tmp_path: Path):
    (tmp_path / "a.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ValueError, match="utf-8"):
        read_json(tmp_path / "a.json")
