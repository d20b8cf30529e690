"""Commands, samples and the plugin library of what the samples use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugins import libraries


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The ONNX file of every sample, by names such as digits/krause."""
    files = libraries.converted_samples(tmp_path_factory)
    return {f"{sample.parent.name}/{sample.stem}": path for sample, path in files.items()}


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of what the samples use that TensorRT 10, 11 and RTX load."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return libraries.samples_library(tmp_path_factory, monkeypatch) / "libattnexport_plugins.so"
