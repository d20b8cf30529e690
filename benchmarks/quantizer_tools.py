"""Quantizers as their users would call them, each run in a process of its own.

python -m benchmarks.quantizer_tools TOOL PRECISION SOURCE.onnx CALIBRATION.npz SAMPLES OUTPUT.onnx
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

ATTNEXPORT = "attnexport"
"""Begins the names of tools that are this package, with its method or backend behind a blank."""
BLOCK = 32
"""Weights that share a scale in int4, for every tool."""
_SCHEMES = {"int8": "int8", "fp8": "fp8", "int4": "int4-weights"}


def attnexport_alone(method: str, precision: str, source: Path, data: Path, samples: int, output: Path) -> None:
    """``attnexport.quantize`` with one of its methods; int4 weights need no data."""
    import attnexport

    given: dict[str, Any] = {} if precision == "int4" else {"data": data, "samples": samples, "method": method}
    attnexport.quantize(source, output, to=_SCHEMES[precision], **given)


def attnexport_with_modelopt(precision: str, source: Path, data: Path, samples: int, output: Path) -> None:
    """``attnexport.quantize`` with ModelOpt's scales by its own default methods, entropy and awq."""
    import attnexport

    method = "awq" if precision == "int4" else "entropy"
    options = {"data": data, "samples": samples, "method": method, "backend": "modelopt"}
    attnexport.quantize(source, output, to=_SCHEMES[precision], **options)


def modelopt_alone(precision: str, source: Path, data: Path, samples: int, output: Path) -> None:
    """NVIDIA ModelOpt with its defaults, but on the CPU and without casts to half."""
    from modelopt.onnx.quantization import quantize

    given: dict[str, Any] = {"block_size": BLOCK} if precision == "int4" else {}
    quantize(
        str(source),
        quantize_mode=precision,
        calibration_data=calibration_arrays(source, data, samples),
        calibration_eps=["cpu"],
        high_precision_dtype="fp32",
        output_path=str(output),
        log_level="ERROR",
        **given,
    )


def onnxruntime_alone(precision: str, source: Path, data: Path, samples: int, output: Path) -> None:
    """``quantize_static``, symmetric, by channel and without int32 biases; its MatMulNBits quantizer for int4."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    if precision == "int4":
        _onnxruntime_int4(source, output)
        return
    dtype = QuantType.QInt8 if precision == "int8" else QuantType.QFLOAT8E4M3FN
    quantize_static(
        str(source),
        str(output),
        _Reader(calibration_arrays(source, data, samples)),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=dtype,
        weight_type=dtype,
        calibrate_method=CalibrationMethod.MinMax if precision == "int8" else CalibrationMethod.Distribution,
        extra_options={"QuantizeBias": False, "ActivationSymmetric": True, "WeightSymmetric": True},
    )


def _onnxruntime_int4(source: Path, output: Path) -> None:
    from onnxruntime.quantization import QuantFormat
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

    config = DefaultWeightOnlyQuantConfig(block_size=BLOCK, is_symmetric=True, bits=4, quant_format=QuantFormat.QDQ)
    quantizer = MatMulNBitsQuantizer(onnx.load(source), algo_config=config)
    quantizer.process()
    quantizer.model.save_model_to_file(str(output))


class _Reader:
    """Rows one by one, as quantize_static reads them."""

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._rows = self._each(arrays)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._rows, None)

    @staticmethod
    def _each(arrays: dict[str, NDArray[Any]]) -> Iterator[dict[str, NDArray[Any]]]:
        for row in range(len(next(iter(arrays.values())))):
            yield {name: array[row : row + 1] for name, array in arrays.items()}


def calibration_arrays(source: Path, data: Path, samples: int) -> dict[str, NDArray[Any]]:
    """The first rows of the arrays that a file's inputs take."""
    with np.load(data) as stored:
        return {value.name: stored[value.name][:samples] for value in onnx.load(source).graph.input}


TOOLS: dict[str, Callable[[str, Path, Path, int, Path], None]] = {
    f"{ATTNEXPORT} modelopt": attnexport_with_modelopt,
    "ModelOpt": modelopt_alone,
    "ONNX Runtime": onnxruntime_alone,
}


def processor_s() -> float:
    """User and system time of this process and of its children that have ended."""
    return sum(os.times()[:4])


def main() -> None:
    """Prints the seconds of the processor that the tool took, its imports not counted."""
    tool, precision, source, data, samples, output = sys.argv[1:]
    given = (precision, Path(source), Path(data), int(samples), Path(output))
    with contextlib.redirect_stdout(io.StringIO()):
        if tool == "ModelOpt":
            import modelopt.onnx.quantization  # noqa: F401
        import onnxruntime.quantization  # noqa: F401

        import attnexport.calibration.quantizing  # noqa: F401

        start = processor_s()
        if tool in TOOLS:
            TOOLS[tool](*given)
        else:
            attnexport_alone(tool.removeprefix(ATTNEXPORT).strip(), *given)
        seconds = processor_s() - start
    print(f"{seconds:.2f}")


if __name__ == "__main__":
    main()
