"""A small model, saved and converted by commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import attnexport
import attnexport.accuracy.contenders.cache
from tests.cli.commands import Run
from tests.cli.models import WIDTH, small


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(folder: Path) -> Iterator[None]:
    """Keeps the reference outputs of the tests out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attnexport.accuracy.contenders.cache, "default_folder", lambda: folder / "cache")
        yield


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="session")
def saved(folder: Path) -> Path:
    """A small model as a .pt2 with dynamic batch and tokens."""
    path = folder / "small.pt2"
    attnexport.save(small(), path, args=torch.randn(2, 9, WIDTH), dynamic_shapes={"x": {0: "batch", 1: "tokens"}})
    return path


@pytest.fixture(scope="session")
def converted(folder: Path, saved: Path, run: Run) -> Path:
    """The same model as ONNX."""
    path = folder / "small.onnx"
    result = run("convert", saved, "-o", path)
    assert (result.code, result.err) == (0, "")
    return path
