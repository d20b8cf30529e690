"""Types of numbers as people write them: one table, without NumPy and torch."""

from __future__ import annotations

_SPELLINGS = {
    "float64": ("f64", "fp64", "double"),
    "float32": ("f32", "fp32", "float", "single"),
    "float16": ("f16", "fp16", "half"),
    "bfloat16": ("bf16",),
    "int64": ("i64", "long"),
    "int32": ("i32", "int"),
    "int16": ("i16", "short"),
    "int8": ("i8", "char"),
    "uint8": ("u8", "byte"),
    "bool": ("boolean",),
}
"""By name as NumPy and torch have it; capitals do not count, and torch. and np. before it neither."""

_CALLED = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in (name, *spellings)}
_PRECISIONS = {"float64": "fp64", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


def dtype_called(written: object) -> str | None:
    """The type's name, as ``float32`` for f32, FP32, float and torch.float32; None for what is none."""
    return _CALLED.get(str(written).strip().lower().removeprefix("torch.").removeprefix("np."))


def precision_called(written: object) -> str | None:
    """The precision's name, as ``fp16`` for half, float16 and torch.float16; None for what is none."""
    return _PRECISIONS.get(dtype_called(written) or "")
