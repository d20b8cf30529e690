"""The whole files that mutants are made from, all of one small model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import attnexport
from attnexport.accuracy.contenders.cache import OutputCache
from attnexport.backends.building import Layer
from attnexport.cli import main
from attnexport.engines.manifest import BuilderRecord, Manifest, ModelRecord, PluginRecord
from attnexport.engines.manifest_json import write_manifest
from attnexport.files.outputs import sha256
from attnexport.plugins.runtime.request import Profile

WIDTH = 8
CACHED = [np.arange(6.0).reshape(2, 3), np.array([1, 2])]
"""What the cache entry of the corpus holds."""


class Small(nn.Module):
    """One attention and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = attnexport.TopNAttention(WIDTH, 2, 3)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x))


def model() -> nn.Module:
    """For --model."""
    torch.manual_seed(0)
    return Small().eval()


def build(folder: Path) -> None:
    """Writes the corpus into a folder."""
    x = torch.randn(2, 6, WIDTH, generator=torch.Generator().manual_seed(0))
    attnexport.save(model(), folder / "model.pt2", args=(x,), dynamic_shapes={"x": {0: "batch", 1: "tokens"}})
    command("convert", folder / "model.pt2", "-o", folder / "model.onnx")
    torch.save(model().state_dict(), folder / "weights.pt")
    torch.save(model().state_dict(), folder / "old.pt", _use_new_zipfile_serialization=False)
    save_file(model().state_dict(), folder / "weights.safetensors", metadata={"format": "pt"})
    np.savez(folder / "data.npz", x=x.numpy(), labels=np.zeros((2, 6), np.int64))
    np.savez_compressed(folder / "packed.npz", x=x.numpy(), more=np.zeros(1 << 20))
    record = ("record", folder / "model.pt2", "-o", folder / "set", "--data", folder / "data.npz")
    command(*record, "--precisions", "fp32")
    (folder / "outputs").mkdir()
    for path in (folder / "set" / "reference").iterdir():
        shutil.copy(path, folder / "outputs" / path.name)
    (folder / "budget.toml").write_text(
        '[outputs.output]\nfactor = 4\nreason = "softmax in half precision"\n\n'
        '[layers.attention]\nlimit = 1e-3\nreason = "scores near the limit"\n'
    )
    (folder / "info.json").write_text(json.dumps(INFO))
    OutputCache(folder / "cache").outputs(("a", "b"), lambda: list(CACHED))
    _write_engine(folder / "model.engine")


def command(*arguments: object) -> None:
    """One command, which must pass."""
    code = exit_code([str(argument) for argument in arguments])
    if code:
        raise RuntimeError(f"attnexport {' '.join(map(str, arguments))}: exit code {code}")


def exit_code(arguments: Sequence[str]) -> int:
    """Of a command in this process."""
    try:
        main(list(arguments))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0


INFO = {
    "version": "0.5.0",
    "api": "v3",
    "cuda": "13.0",
    "architectures": [87, 90],
    "ptx": None,
    "kernels": ["topn"],
    "dtypes": ["float16"],
    "max_width": 256,
    "top_k": True,
    "tensorrt": "10.3",
}


def _write_engine(path: Path) -> None:
    path.write_bytes(bytes(range(256)))
    manifest = Manifest(
        engine_sha256=sha256(path),
        engine_bytes=256,
        model=ModelRecord("model.onnx", "5e" * 32, "fp32"),
        plugin=PluginRecord("lib.so", "5e" * 32, "0.5.0", "v3", (89,), None, False),
        builder=BuilderRecord("tensorrt_rtx", "TensorRT-RTX", "1.7.1", "0.5.0"),
        target="rtx-40",
        sms=(89,),
        precision="fp32",
        precisions={"fp32": 1.0},
        layers_from="network",
        layers=(Layer("attention", "PLUGIN_V3", ("fp32",)),),
        plugin_nodes=("attention",),
        body_nodes=(),
        profiles={"x": Profile((1, 1, WIDTH), (2, 6, WIDTH), (8, 64, WIDTH))},
        seconds=1.5,
        peak_bytes=None,
        notes=("a note",),
    )
    write_manifest(manifest, path)
