"""Everything that is decided before a builder starts, for the pre-flight to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from attnexport.backends.building import EngineBuilder
from attnexport.graph.file_precision import attention_precisions
from attnexport.plugins.calling.library import Library
from attnexport.plugins.runtime.request import Profile
from attnexport.targets import Target, parsed_opset
from attnexport.variants.spec import Variant


@dataclass(frozen=True)
class Limits:
    """What a target and the TensorRT at hand allow together.

    Attributes:
        product: the TensorRT at hand, as TensorRT 8.6.0.
        release: its first two numbers.
        opset: highest opset that it parses.
        plugin_api: v3 or v2; None where the kernels do not run.
        strongly_typed: whether the precision is an order, and no permission as for TensorRT 8.x.
        local_functions: whether its parser knows model-local functions.
        precisions: types that it and the target's GPU take.
    """

    product: str
    release: tuple[int, int]
    opset: int
    plugin_api: str | None
    strongly_typed: bool
    local_functions: bool
    precisions: tuple[str, ...]


@dataclass(frozen=True)
class Draft:
    """An engine to be built.

    Attributes:
        path: the ONNX file, as the user named it.
        model: what it holds, the precision asked for written into it.
        target: the device.
        limits: of the target and the TensorRT at hand.
        held: precision of the file as it was given.
        precision: fp32, fp16 or bf16, what the engine is to compute in.
        rewritten: whether ``model`` differs from the file, since a precision or what TensorRT 8.x takes was written.
        profiles: by input, for those with dynamic sizes.
        attention_nodes: the nodes of ours.
        library: the plugin library, or None.
    """

    path: Path
    model: ir.Model
    target: Target
    limits: Limits
    held: str
    precision: str
    rewritten: bool
    profiles: Mapping[str, Profile]
    attention_nodes: tuple[tuple[ir.Node, Variant], ...]
    library: Library | None

    def precision_at(self, node: ir.Node) -> str:
        """What an attention node computes in: its type in the file, the precision where that is a builder's option."""
        typed = attention_precisions([node]) if self.limits.strongly_typed else set()
        return next(iter(typed), self.precision)

    @property
    def largest_sizes(self) -> dict[str, int]:
        """The largest size of every named dim."""
        found: dict[str, int] = {}
        for value in self.model.graph.inputs:
            profile = self.profiles.get(value.name or "")
            for size, largest in zip(value.shape or (), profile.maximum if profile is not None else (), strict=False):
                if not isinstance(size, int) and size.value is not None:
                    found[size.value] = largest
        return found


def limits_of(target: Target, builder: EngineBuilder) -> Limits:
    """The target's limits; those of TensorRT 8.x where that is what builds, whatever the target has."""
    numbers = builder.version.split(".")
    release = (int(numbers[0]), int(numbers[1]))
    old = not target.is_rtx and release[0] < 10
    return Limits(
        product=f"{builder.product} {builder.version}",
        release=release,
        opset=parsed_opset(release, rtx=target.is_rtx),
        plugin_api="v2" if old and target.plugin_api is not None else target.plugin_api,
        strongly_typed=builder.strongly_typed,
        local_functions=target.local_functions and not old,
        precisions=tuple(name for name in target.precisions if not (old and name in ("bf16", "fp8", "fp4"))),
    )
