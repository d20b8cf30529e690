"""Samples, and the plugin library of what they use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugins import libraries


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Path]:
    """The ONNX file of every sample."""
    return libraries.converted_samples(tmp_path_factory)


@pytest.fixture(scope="session")
def samples_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the V3 libraries of what the samples use."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return libraries.samples_library(tmp_path_factory, monkeypatch)


@pytest.fixture(scope="session")
def library(samples_library: Path) -> Path:
    """The library that TensorRT loads."""
    return samples_library / "libattnexport_plugins.so"
