"""What a conversion target asks of the ONNX file: the opset its TensorRT parses and whether it knows local functions.

Sources: NVIDIA's support matrices and the parser sources of the TensorRT release that each target runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from attnexport.errors import InputError


@dataclass(frozen=True)
class Target:
    """A device and the software it is pinned to.

    Attributes:
        name: as given to ``--target``.
        tensorrt: TensorRT releases that run there.
        opset: highest ONNX opset to emit for it.
        local_functions: whether its parser knows model-local functions; where it does not, bodies are inlined.
        layer_normalization: whether it knows that operator; where it does not, it is written out.
    """

    name: str
    tensorrt: str
    opset: int
    local_functions: bool
    layer_normalization: bool = True


TARGETS = {
    target.name: target
    for target in (
        Target("jetson-xavier-jp5", "8.5", 17, local_functions=False, layer_normalization=False),
        Target("jetson-orin-jp5", "8.5", 17, local_functions=False, layer_normalization=False),
        Target("jetson-orin-jp6.0", "8.6", 17, local_functions=False),
        Target("jetson-orin-jp6.2", "10.3", 20, local_functions=True),
        Target("jetson-orin-jp7", "10.16", 20, local_functions=True),
        Target("jetson-thor-jp7", "10.13 to 10.16", 20, local_functions=True),
        Target("a100", "10.3 to 11.x", 20, local_functions=True),
        Target("l4", "10.3 to 11.x", 20, local_functions=True),
        Target("h100", "10.3 to 11.x", 20, local_functions=True),
        Target("h200", "10.3 to 11.x", 20, local_functions=True),
        Target("b200", "10.8 to 11.x", 20, local_functions=True),
        Target("rtx", "TensorRT-RTX 1.x", 20, local_functions=True),
    )
}


def find_target(name: str) -> Target:
    """The target of that name.

    Raises:
        InputError: an unknown name.
    """
    if name not in TARGETS:
        raise InputError(f"--target: expected one of {', '.join(TARGETS)}, given {name!r}")
    return TARGETS[name]
