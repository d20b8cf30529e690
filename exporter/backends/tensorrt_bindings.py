"""What TensorRT's Python bindings, ``tensorrt`` from 10.3 on and ``tensorrt_rtx``, have in common as builders."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from attnexport.backends.building import BuiltEngine, Creator, EngineBuilder, Layer, Survey, keep_timing_cache
from attnexport.backends.tensorrt_worker import ANSWER, ENGINE, REQUEST, TIMING_CACHE
from attnexport.errors import BackendError, ending
from attnexport.files.staging import work_folder
from attnexport.plugins.runtime.request import EngineOptions

# Without the current folder, whose files must not pass for modules.
_START = (
    "import sys; sys.path[:] = filter(None, sys.path); from pathlib import Path; "
    "from attnexport.backends.tensorrt_worker import main; main(sys.argv[1], Path(sys.argv[2]))"
)


class BindingsBuilder(EngineBuilder):
    """Builds engines in a process of its own, through a module of Python bindings.

    Args:
        module: ``tensorrt`` or ``tensorrt_rtx``.
        product: its name in messages.

    Raises:
        BackendError: the module is not installed or does not load.
    """

    strongly_typed = True

    def __init__(self, module: str, product: str) -> None:
        self.name, self.product = module, product
        self.version = version_of(load_bindings(module, product))

    def survey(self, plugins: Path | None, operators: Sequence[str]) -> Survey:
        """Asks for the plugin creators and for the operators that the parser does not take.

        Raises:
            BackendError: the library cannot be loaded, or the process ended.
        """
        asked = {"task": "survey", "plugins": _absolute(plugins), "operators": list(operators)}
        with work_folder() as folder:
            answer = self._ask(asked, folder)
        return Survey(
            creators=tuple(Creator(*creator) for creator in answer["creators"]),
            unknown_operators=frozenset(answer["unknown_operators"]),
            capabilities=tuple(answer["capabilities"]),
        )

    def build(self, model: Path, options: EngineOptions) -> BuiltEngine:
        """Builds an engine of an ONNX file.

        Raises:
            BackendError: the builder fails, with its own words, or the process ended.
        """
        cache = options.timing_cache
        given = {"model": model, "plugins": options.plugins, "timing_cache": cache}
        asked = {"task": "build", **asdict(options), **{name: _absolute(path) for name, path in given.items()}}
        with work_folder() as folder:
            answer = self._ask(asked, folder)
            engine = (folder / ENGINE).read_bytes()
            notes = () if cache is None else keep_timing_cache(cache, (folder / TIMING_CACHE).read_bytes())
        layers = (Layer(**{**layer, "precisions": tuple(layer["precisions"])}) for layer in answer["layers"])
        return BuiltEngine(
            engine=engine,
            layers=tuple(layers),
            plugin_nodes=tuple(answer["plugin_nodes"]),
            messages=tuple(answer["messages"]),
            seconds=answer["seconds"],
            layers_from=answer["layers_from"],
            peak_bytes=answer["peak_bytes"],
            unknown=answer["unknown"],
            notes=notes,
        )

    def environment(self, folder: Path) -> dict[str, str]:
        """Variables that the building process needs beside those of this one; ``folder`` lives as long as it does."""
        return {}

    def _ask(self, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        (folder / REQUEST).write_text(json.dumps(request))
        done = subprocess.run(
            [sys.executable, "-c", _START, self.name, str(folder)],
            env={**os.environ, **self.environment(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BackendError(
                f"{self.product} {self.version}: its process ended {ending(done.returncode, done.stderr)}"
            )
        answer: dict[str, Any] = json.loads((folder / ANSWER).read_text())
        if "failure" in answer:
            raise BackendError(f"{self.product} {self.version}: {answer['failure']}")
        return answer


def load_bindings(module: str, product: str) -> Any:
    """TensorRT's Python module.

    Raises:
        BackendError: it is not installed or does not load.
    """
    if importlib.util.find_spec(module) is None:
        package = module.replace("_", "-")
        raise BackendError(f"{product}: the Python package {module} is not installed; pip install {package} brings it")
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise BackendError(f"{product}: the Python package {module} does not load: {error}") from error


def version_of(trt: Any) -> str:
    """Version of TensorRT's Python module, as three numbers."""
    return ".".join(str(trt.__version__).split(".")[:3])


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
