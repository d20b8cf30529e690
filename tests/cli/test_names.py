"""Names in files on their way to a terminal: nothing that it obeys, no line that the command did not print."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.cli.commands import Refuse, Run
from tests.cli.models import WIDTH

FORGED = "x\x1b[2J\x1b]0;title\x07\nattnexport: within the budget\n::error::forged\u202e\ud7ff"


@pytest.fixture(scope="module")
def hostile(folder: Path) -> Path:
    """An ONNX file with such a name at every place that is shown."""
    sizes = ["batch\x1b[2J\n::error::x", 4]
    given = helper.make_tensor_value_info(FORGED, TensorProto.FLOAT, sizes)
    result = helper.make_tensor_value_info(f"{FORGED}y", TensorProto.FLOAT, sizes)
    attributes = {"plugin_namespace": FORGED, "plugin_version": "1", "mode": FORGED}
    nodes = [
        helper.make_node("TopNAttention", [FORGED], ["a"], name=FORGED, domain="attnexport", **attributes),
        helper.make_node("Relu", ["a"], [f"{FORGED}y"]),
    ]
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("attnexport", 1)]
    model = helper.make_model(helper.make_graph(nodes, "g", [given], [result]), opset_imports=imports, ir_version=9)
    helper.set_model_props(model, {"attnexport.source": FORGED, f"attnexport.{FORGED}": "1"})
    path = folder / "hostile.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def shows(text: str) -> None:
    assert all(char.isprintable() or char == "\n" for char in text)
    assert not any(line.lstrip().startswith(("attnexport: within", "::error::")) for line in text.splitlines())


def test_inspect(run: Run, hostile: Path):
    result = run("inspect", hostile)
    assert (result.code, result.err) == (0, "")
    shows(result.out)
    assert r"x\x1b[2J\x1b]0;title\x07\nattnexport: within" in result.text


def test_note_of_an_array_that_no_input_takes(run: Run, converted: Path, tmp_path: Path):
    np.savez(tmp_path / "data.npz", x=np.ones((2, 3, WIDTH), np.float32), **{FORGED: np.ones(3)})
    result = run("run", converted, "--data", tmp_path / "data.npz")
    assert (result.code, result.err) == (0, "")
    shows(result.out)
    assert r"no input takes x\x1b[2J" in result.text


def test_refusal(refuse: Refuse, hostile: Path, converted: Path, tmp_path: Path):
    np.savez(tmp_path / "data.npz", **{FORGED: np.ones(3)})
    shows(refuse("run", converted, "--data", tmp_path / "data.npz"))
    shows(refuse("run", hostile, "--data", tmp_path / "data.npz"))


def test_metadata_that_is_no_utf8_is_named(refuse: Refuse, converted: Path, tmp_path: Path):
    model = onnx.load(converted)
    entry = model.metadata_props.add()
    entry.key, entry.value = "attnexport.KEY", "VALUE"
    path = tmp_path / "bytes.onnx"
    path.write_bytes(model.SerializeToString().replace(b"attnexport.KEY", b"attnexport.\xff\xfe\xff"))
    line = refuse("inspect", path)
    assert line.startswith(f"attnexport: {path}: expected texts in UTF-8, given other bytes in the field key")
