"""What a build writes into its library about itself: one line of JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from attnexport.errors import InputError
from attnexport.files.typed_json import parsed, typed

SCHEMA = "attnexport.build-info/1"


@dataclass(frozen=True)
class BuildInfo:
    """How a library was built. None and empty tuples stand for what the build did not say.

    Attributes:
        version: of attnexport.
        api: plugin interface: v3, v2, or none for the kernels alone.
        cuda: of the compiler, as 13.0.
        architectures: compute capabilities with machine code, as 90.
        ptx: compute capability of the PTX.
        kernels: names of the kernel files.
        dtypes: floating types.
        max_width: largest head width.
        top_k: whether selections are in.
        tensorrt: the TensorRT whose headers were used.
        hopper: names of the kernel files with code of Hopper's own instructions; the others run portable code there.
    """

    version: str | None = None
    api: str | None = None
    cuda: str | None = None
    architectures: tuple[int, ...] = ()
    ptx: int | None = None
    kernels: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    max_width: int | None = None
    top_k: bool | None = None
    tensorrt: str | None = None
    hopper: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON, field by field: docs/report-formats.md has what each key means."""
        return {
            "version": self.version,
            "api": self.api,
            "cuda": self.cuda,
            "architectures": self.architectures,
            "ptx": self.ptx,
            "kernels": self.kernels,
            "dtypes": self.dtypes,
            "max_width": self.max_width,
            "top_k": self.top_k,
            "tensorrt": self.tensorrt,
            "hopper": self.hopper,
        }

    @property
    def define(self) -> str:
        """The line of C that gives the text to kernels/common/registry.cpp."""
        text = json.dumps({"schema": SCHEMA, **self.as_dict()}, separators=(",", ":"))
        return f"#define ATTNEXPORT_BUILD_INFO {json.dumps(text)}\n"


def parse_build_info(text: str) -> BuildInfo:
    """Reads the line back; keys it does not know are passed over, and any may be missing.

    Raises:
        InputError: no JSON object, one of another schema, or a value of another type.
    """
    try:
        given = parsed(text)
        if not isinstance(given, dict):
            raise ValueError(f"expected a JSON object, given {text[:80]!r}")
        said = given.get("schema", SCHEMA)
        if said != SCHEMA:
            raise ValueError(f"schema: expected {SCHEMA}, given {said!r:.80}: build the library again")
        names = {field.name for field in dataclasses.fields(BuildInfo)}
        info: BuildInfo = typed(BuildInfo, {name: value for name, value in given.items() if name in names})
    except ValueError as error:
        raise InputError(f"build info: {error}") from error
    return info
