"""The devices a file can be made for, and the software that each is pinned to."""

from __future__ import annotations

from dataclasses import dataclass

from attnexport.errors import InputError, did_you_mean
from attnexport.messages import option

_JETPACK = "NVIDIA's JetPack release notes and TensorRT support matrix"
_SERVER = "NVIDIA's CUDA GPU list and TensorRT support matrix"
_RTX = "TensorRT-RTX 1.7.1: its compute capabilities and its parser, tried"


@dataclass(frozen=True)
class Target:
    """A device and the software it is pinned to.

    Attributes:
        name: as given to ``--target``.
        sms: compute capabilities, as 87 for 8.7.
        cuda: CUDA releases that its software stack has.
        tensorrt: TensorRT releases that run there, as 10.3, 10.13 to 10.16 or TensorRT-RTX 1.x.
        opset: the ONNX opset that convert writes for it, which every TensorRT of it parses.
        plugin_api: plugin interface of the library for it, "v3" or "v2"; None where the kernels do not run.
        precisions: types that both its tensor cores and its TensorRT take.
        shared_kib: largest shared memory of a block, in KiB.
        source: where these facts are from.
        local_functions: whether its parser knows model-local functions; where it does not, bodies are inlined.
            Default: True.
        layer_normalization: whether it knows that operator; where it does not, it is written out. Default: True.
    """

    name: str
    sms: tuple[int, ...]
    cuda: str
    tensorrt: str
    opset: int
    plugin_api: str | None
    precisions: tuple[str, ...]
    shared_kib: int
    source: str
    local_functions: bool = True
    layer_normalization: bool = True

    @property
    def is_rtx(self) -> bool:
        """Whether its TensorRT is TensorRT-RTX, which builds ahead of time and without the device."""
        return self.tensorrt.startswith(_RTX_NAME)

    @property
    def highest_opset(self) -> int:
        """The highest that the newest TensorRT of it parses, for files that are asked for it."""
        low, _, high = self.tensorrt.removeprefix(_RTX_NAME).partition(" to ")
        return parsed_opset(_release(high or low, 10**6), rtx=self.is_rtx)

    @property
    def backends(self) -> tuple[str, ...]:
        """Names of what builds its engines."""
        return ("tensorrt_rtx",) if self.is_rtx else ("tensorrt", "native")

    def check_backend(self, name: str | None) -> None:
        """Refuses a backend that does not build its engines; None stands for the one that fits.

        Raises:
            InputError: naming those that do.
        """
        if name is not None and name not in self.backends:
            wanted = f"{option('--backend')}: expected {' or '.join(self.backends)}"
            raise InputError(f"{wanted} for target {self.name}, given {name}")

    def runs_tensorrt(self, version: str) -> bool:
        """Whether a TensorRT of that version, as 10.3.0, is among :attr:`tensorrt`."""
        low, _, high = self.tensorrt.removeprefix(_RTX_NAME).partition(" to ")
        release = tuple(int(part) for part in version.split(".")[:2])
        return _release(low, 0) <= release <= _release(high or low, 10**6)


_RTX_NAME = "TensorRT-RTX"


_PARSED = (((10, 15), 24), ((10, 0), 20), ((8, 5), 17))
_PARSED_BY_RTX = 23


def parsed_opset(release: tuple[int, ...], *, rtx: bool = False) -> int:
    """The highest opset that a release of TensorRT, as (10, 3), says that it parses.

    Source: docs/operators.md of onnx-tensorrt for 8.5, 8.6, 10.0, 10.1 and 10.15; what lies between has the earlier
    one's. TensorRT-RTX 1.7.1, tried with the highest that convert writes.
    """
    if rtx:
        return _PARSED_BY_RTX
    return next((opset for first, opset in _PARSED if release >= first), _PARSED[-1][1])


def release_that_parses(opset: int) -> str:
    """The first TensorRT, as 10.15, that says that it parses an opset of this height."""
    first = min(first for first, highest in _PARSED if highest >= opset)
    return ".".join(map(str, first))


def _release(text: str, unnamed: int) -> tuple[int, ...]:
    """11.x as (11, unnamed)."""
    return tuple(unnamed if part == "x" else int(part) for part in text.strip().split("."))


_TENSORRT_8 = ("fp32", "fp16", "int8")
_AMPERE = ("fp32", "bf16", "fp16", "int8")
_ADA = (*_AMPERE, "fp8")
_BLACKWELL = (*_ADA, "fp4")

TARGETS = {
    target.name: target
    for target in (
        Target("jetson-xavier-jp5", (72,), "11.4", "8.5", 17, None, _TENSORRT_8, 96, _JETPACK,
               local_functions=False, layer_normalization=False),
        Target("jetson-orin-jp5", (87,), "11.4", "8.5", 17, "v2", _TENSORRT_8, 163, _JETPACK,
               local_functions=False, layer_normalization=False),
        Target("jetson-orin-jp6.0", (87,), "12.2", "8.6", 17, "v2", _TENSORRT_8, 163, _JETPACK, local_functions=False),
        Target("jetson-orin-jp6.2", (87,), "12.6", "10.3", 20, "v3", _AMPERE, 163, _JETPACK),
        Target("jetson-orin-jp7", (87,), "13.2", "10.16", 20, "v3", _AMPERE, 163, _JETPACK),
        Target("jetson-thor-jp7", (110,), "13.0 to 13.2", "10.13 to 10.16", 20, "v3", _BLACKWELL, 227, _JETPACK),
        Target("a100", (80,), "12 and 13", "10.3 to 11.x", 20, "v3", _AMPERE, 163, _SERVER),
        Target("l4", (89,), "12 and 13", "10.3 to 11.x", 20, "v3", _ADA, 99, _SERVER),
        Target("h100", (90,), "12 and 13", "10.3 to 11.x", 20, "v3", _ADA, 227, _SERVER),
        Target("h200", (90,), "12 and 13", "10.3 to 11.x", 20, "v3", _ADA, 227, _SERVER),
        Target("b200", (100,), "12.8 to 13", "10.8 to 11.x", 20, "v3", _BLACKWELL, 227, _SERVER),
        Target("rtx-30", (86,), "12 and 13", "TensorRT-RTX 1.x", 20, "v3", _AMPERE, 99, _RTX),
        Target("rtx-40", (89,), "12 and 13", "TensorRT-RTX 1.x", 20, "v3", _ADA, 99, _RTX),
        Target("rtx-50", (120,), "12.8 to 13", "TensorRT-RTX 1.x", 20, "v3", _BLACKWELL, 99, _RTX),
        Target("rtx", (80, 86, 89, 120), "12 and 13", "TensorRT-RTX 1.x", 20, "v3", _AMPERE, 99, _RTX),
    )
}  # fmt: skip


def find_target(name: str) -> Target:
    """The target of that name.

    Raises:
        InputError: an unknown name.
    """
    if name not in TARGETS:
        said = f"{option('--target')}: expected one of {', '.join(TARGETS)}, given {name!r}"
        raise InputError(f"{said}{did_you_mean(name, TARGETS)}")
    return TARGETS[name]
