"""What a plugin library says as JSON: every field under its documented name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attnexport.errors import InputError
from attnexport.plugins.calling.build_info import BuildInfo, parse_build_info
from attnexport.plugins.calling.inspection import LibraryFacts
from attnexport.plugins.calling.interface import AttributeKind, Dtype
from attnexport.plugins.calling.operators import Attribute, Input, Op
from tests.files.documented_json import assert_documented, assert_holds, never_set

INFO = BuildInfo(
    "0.1.0", "v3", "13.0", (87, 90), 90, ("krause",), ("float16",), 64, True, "TensorRT 10.14", ("krause",)
)
INPUTS = (Input("q", None, False), Input("factors", "count", False), Input("kv_lengths", None, True))
OP = Op("KrauseAttention", INPUTS, (Attribute("scale", AttributeKind.NUMBER),), (Dtype.FLOAT32, Dtype.FLOAT16), None)
FACTS = LibraryFacts(Path("lib.so"), 4096, INFO, (OP,), (87,), ("a note",))

OTHER_NAMES = {"LibraryFacts.path", "LibraryFacts.info", "LibraryFacts.ops", "Input.is_length"}
"""In JSON: library, build, operators, optional."""

NO_DATA = {"Op._c"}
"""A pointer into the library."""


def said_by_the_library() -> str:
    """The text of the line of C."""
    text: str = json.loads(INFO.define.removeprefix("#define ATTNEXPORT_BUILD_INFO "))
    return text


def test_every_field_of_a_build_is_in_json():
    assert not never_set(INFO)
    assert_holds(json.loads(said_by_the_library()), INFO, more={"BuildInfo.schema"})
    assert parse_build_info(said_by_the_library()) == INFO


def test_every_field_of_a_library_is_in_json():
    written = json.loads(json.dumps(FACTS.as_dict()))
    assert never_set(FACTS) == {"Op._c"}
    more = {f"LibraryFacts.{name}" for name in ("schema", "library", "abi", "build", "operators")}
    assert_holds(written, FACTS, OTHER_NAMES, more)
    assert (written["library"], written["abi"]) == ("lib.so", 1)
    assert_holds(written["build"], INFO)
    (operator,) = written["operators"]
    assert operator.pop("dtypes") == ["float32", "float16"]
    assert operator.pop("attributes") == [{"name": "scale", "kind": "number"}]
    assert [given.pop("optional") for given in operator["inputs"]] == [False, False, True]
    assert_holds(operator, OP, {"Op.dtypes", "Op.attributes", *OTHER_NAMES, *NO_DATA})


def test_every_key_is_documented():
    assert_documented(json.loads(said_by_the_library()))
    assert_documented(json.loads(json.dumps(FACTS.as_dict())))


def test_a_build_of_another_schema_is_refused():
    with pytest.raises(InputError) as refused:
        parse_build_info('{"schema": "attnexport.build-info/2"}')
    expected = "expected attnexport.build-info/1, given 'attnexport.build-info/2': build the library again"
    assert str(refused.value) == f"build info: schema: {expected}"
