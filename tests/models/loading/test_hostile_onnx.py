"""ONNX files from strangers: one line and exit code 2 from whatever reads them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner
from onnx import helper

from attnexport.cli import main
from attnexport.errors import InputError
from attnexport.graph.inspection import read_model

FLOATS = onnx.TensorProto.FLOAT


def function(name: str, *calls: str) -> onnx.FunctionProto:
    """A function of one input that hands it on through these functions."""
    values = ["a", *(f"t{index}" for index in range(len(calls) - 1)), "b"]
    nodes = [
        helper.make_node(call, [value], [after], domain="f")
        for call, value, after in zip(calls, values, values[1:], strict=False)
    ]
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("f", 1)]
    return helper.make_function("f", name, ["a"], ["b"], nodes, imports)


def calling(first: str, *functions: onnx.FunctionProto) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, FLOATS, [4]) for name in "xy")
    graph = helper.make_graph([helper.make_node(first, ["x"], ["y"], domain="f")], "g", [x], [y])
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("f", 1)]
    return helper.make_model(graph, functions=functions, opset_imports=imports)


def recursive() -> bytes:
    return calling("R", function("R", "R")).SerializeToString()


def mutually_recursive() -> bytes:
    return calling("A", function("A", "B"), function("B", "C"), function("C", "A")).SerializeToString()


def recursive_in_a_branch() -> bytes:
    branch = helper.make_graph([helper.make_node("R", ["a"], ["c"], domain="f")], "b", [], [])
    model = calling("R", function("R", "R"))
    node = helper.make_node("If", ["a"], ["b"], then_branch=branch, else_branch=branch)
    model.functions[0].node[0].CopyFrom(node)
    return model.SerializeToString()


def doubling() -> bytes:
    """Sixty functions of two calls each, which would make 2^60 nodes."""
    functions = [function(f"F{index}", f"F{index + 1}", f"F{index + 1}") for index in range(60)]
    return calling("F0", *functions, function("F60", "Identity")).SerializeToString()


def bytes_in_a_note() -> bytes:
    model = calling("R", function("R", "Identity"))
    model.metadata_props.add(key="attnexport.version", value="ABCDEF")
    return model.SerializeToString().replace(b"ABCDEF", b"AB\xff\xfeEF")


def bytes_in_a_name() -> bytes:
    model = calling("R", function("R", "Identity"))
    model.graph.node[0].name = "ABCDEF"
    return model.SerializeToString().replace(b"ABCDEF", b"AB\xff\xfeEF")


def deep_branches() -> bytes:
    graph = helper.make_graph([], "innermost", [], [])
    for _ in range(25):
        graph = helper.make_graph([helper.make_node("If", ["x"], ["y"], then_branch=graph)], "g", [], [])
    return helper.make_model(graph).SerializeToString() + b"\x3a" * 20


HOSTILE: dict[Callable[[], bytes], str] = {
    recursive: "'R', which calls itself",
    mutually_recursive: "which calls itself",
    recursive_in_a_branch: "'R', which calls itself",
    doubling: "at most 2,000,000 nodes",
    bytes_in_a_note: "expected texts in UTF-8",
    bytes_in_a_name: "expected texts in UTF-8",
    deep_branches: "is none or is damaged",
}


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_file_is_refused(make: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(make())
    with pytest.raises(InputError, match=HOSTILE[make]) as refused:
        read_model(path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("command", ["inspect", "run", "build"])
def test_every_command_refuses_it_in_one_line(command: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes_in_a_note())
    options = {"run": ["--data", str(tmp_path)], "build": ["-o", str(tmp_path / "o.engine"), "--target", "rtx-40"]}
    result = CliRunner().invoke(main, [command, str(path), *options.get(command, [])])
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1


def test_functions_that_end_are_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = calling("A", function("A", "B", "B"), function("B", "C", "C"), function("C", "Identity"))
    onnx.save(model, path)
    assert len(read_model(path).functions) == 3
