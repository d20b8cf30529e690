"""Arguments of build, held together before a file is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from attnexport.engines.names import ENGINE_SUFFIXES, manifest_path
from attnexport.engines.shape_texts import parse_shapes
from attnexport.errors import InputError
from attnexport.files.outputs import check_not_same, check_not_twice, check_output
from attnexport.graph.onnx_file import check_onnx_file
from attnexport.messages import option
from attnexport.models.precision_names import named_precision
from attnexport.plugins.runtime.request import EngineOptions
from attnexport.targets import Target, find_target

_PRECISIONS = ("fp32", "fp16", "bf16")


@dataclass(frozen=True)
class BuildOptions:
    """What to build.

    Attributes:
        target: a name of attnexport.targets.TARGETS.
        engine: what the engine is built with. Inputs without a profile get the one that the ranges in the file give,
            and the compute capabilities are the target's. Default: as the file says, without plugins.
        backend: of attnexport.backends.choosing.BACKENDS. Default: None, the target's.
    """

    target: str
    engine: EngineOptions = field(default_factory=EngineOptions)
    backend: str | None = None

    def check(self, model: Path, output: Path) -> Target:
        """The target, for which what was asked can be begun with.

        Args:
            model: the ONNX file.
            output: the engine to write.

        Raises:
            InputError: naming the file or the option.
        """
        check_onnx_file(model)
        target = find_target(self.target)
        target.check_backend(self.backend)
        plugins = self.engine.plugins
        if plugins is not None and not plugins.is_file():
            raise InputError(f"{plugins}: no such file")
        outputs = (output, manifest_path(output), self.engine.timing_cache)
        for path in outputs:
            check_output(path)
            check_not_same(path, model, plugins)
        check_not_twice(*outputs)
        if output.suffix not in ENGINE_SUFFIXES:
            *most, last = ENGINE_SUFFIXES
            raise InputError(
                f"{output}: expected a name that ends in {', '.join(most)} or {last}, by which run knows it"
            )
        return target


def build_options(
    *,
    target: str,
    plugins: Path | None,
    shapes: Sequence[str],
    precision: str | None,
    embed_plugins: bool,
    timing_cache: Path | None,
    backend: str | None,
) -> BuildOptions:
    """The options of :func:`attnexport.build`, read.

    Raises:
        InputError: shapes of another form, or plugins that are to be embedded and not given.
    """
    if embed_plugins and plugins is None:
        raise InputError(f"{option('--embed-plugins')}: expected a library in {option('--plugins')}, given none")
    engine = EngineOptions(
        profiles=parse_shapes(shapes),
        precision=None if precision is None else named_precision(option("--precision"), precision, _PRECISIONS),
        plugins=plugins,
        embed_plugins=embed_plugins,
        timing_cache=timing_cache,
    )
    return BuildOptions(target, engine, backend)
