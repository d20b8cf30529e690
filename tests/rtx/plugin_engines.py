"""python -m tests.rtx.plugin_engines CAPABILITY LIBRARY MODEL...: engines with the plugins, as JSON by model.

A process of its own: NVIDIA's parser ends its process unless it finds libtensorrt_rtx.so in the folders that
LD_LIBRARY_PATH named when the process started.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import onnx_ir as ir

from tests.rtx.engines import CAPABILITIES, Parsed, input_sizes


def facts(model: Path, library: Path, capability: str) -> dict[str, Any]:
    """What becomes of a model where the library is loaded."""
    parsed = Parsed(model.read_bytes(), [library])
    sizes = input_sizes(ir.load(model))
    alone = parsed.build(sizes, CAPABILITIES[capability])
    engine = bytes(parsed.build(sizes, CAPABILITIES[capability], [library]))
    return {
        "plugins": parsed.plugins,
        "bytes": alone.nbytes,
        "bytes_with_library": len(engine),
        "library_is_inside": library.read_bytes() in engine,
        "errors": parsed.log.errors,
    }


if __name__ == "__main__":
    found = {model: facts(Path(model), Path(sys.argv[2]), sys.argv[1]) for model in sys.argv[3:]}
    print(json.dumps(found))
