"""A file whose attention nodes say something else than the bodies beside them is no file of the model."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import attnexport
from tests.conversion.models import DYNAMIC, every_variant, example


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("attributes") / "m.pt2"
    model = every_variant(causal=True).eval()
    attnexport.save(model, path, args=(example(),), dynamic_shapes=DYNAMIC)
    attnexport.convert(model, (example(),), path.with_suffix(".onnx"), dynamic_shapes=DYNAMIC)
    return path


def with_attribute(source: Path, output: Path, name: str) -> Path:
    """The file with one more in an attribute of the first node that has it; bodies stay as they are."""
    model = onnx.load(source)
    attributes = (attribute for node in model.graph.node if node.domain == "attnexport" for attribute in node.attribute)
    next(attribute for attribute in attributes if attribute.name == name).i += 1
    onnx.save(model, output)
    return output


@pytest.mark.parametrize("name", ["window", "causal", "top_k", "renormalize"])
def test_an_attribute_that_the_body_holds_fixed_is_named(saved: Path, tmp_path: Path, name: str):
    altered = with_attribute(saved.with_suffix(".onnx"), tmp_path / "altered.onnx", name)
    report = attnexport.check(saved, [altered], kinds="normal", seeds=1)
    assert not report.passed
    assert any(f"{name}: expected" in str(failure) for failure in report.failures)


def test_the_file_as_it_was_written_passes(saved: Path):
    assert attnexport.check(saved, [saved.with_suffix(".onnx")], kinds="normal", seeds=1).passed
