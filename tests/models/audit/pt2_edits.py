"""Edits of a real torch.export archive, for files that an attacker could have made."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Records = dict[str, bytes]

EXAMPLES = "data/sample_inputs/model.pt"
PROGRAM = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"


class Victim(nn.Module):
    """Has what an attack can hide in: a parameter, a buffer, a constant, a dynamic dim, a guard, nested inputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 4)
        self.register_buffer("shift", torch.arange(4.0))
        self.constant = torch.full((4,), 2.0)

    def forward(self, x: Tensor, extra: dict[str, Tensor], mode: str = "plain") -> Tensor:
        y = self.linear(x) * self.constant + self.shift
        y = torch.cond(y.sum() > 0, lambda t: t.sin(), lambda t: t.cos(), (y,))
        return y.view(-1, 2, 4) + extra["bias"]


def victim_inputs() -> tuple[Tensor, dict[str, Tensor], str]:
    return torch.ones(4, 4), {"bias": torch.ones(4)}, "plain"


def victim_program() -> torch.export.ExportedProgram:
    shapes = {"x": {0: torch.export.Dim.DYNAMIC}, "extra": {"bias": None}, "mode": None}
    return torch.export.export(Victim().eval(), victim_inputs(), dynamic_shapes=shapes, strict=False)


def victim_records() -> dict[str, bytes]:
    """The records of Victim's archive by their path."""
    buffer = io.BytesIO()
    torch.export.save(victim_program(), buffer)
    with zipfile.ZipFile(buffer) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def write_archive(path: Path, records: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in records.items():
            archive.writestr(f"archive/{name}", data)
    return path


def edited(
    records: Mapping[str, bytes], edit: Callable[[dict[str, Any]], object], name: str = PROGRAM
) -> dict[str, bytes]:
    """The records with one JSON record changed in place by `edit`."""
    value = json.loads(records[name])
    edit(value)
    return {**records, name: json.dumps(value).encode()}


def graph(program: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = program["graph_module"]["graph"]
    return found


def rename(value: Any, old: str, new: str) -> Any:
    """The same JSON with every text `old` (as key or value) replaced by `new`."""
    if isinstance(value, dict):
        return {new if key == old else key: rename(entry, old, new) for key, entry in value.items()}
    if isinstance(value, list):
        return [rename(entry, old, new) for entry in value]
    return new if value == old else value


def renamed(records: Mapping[str, bytes], old: str, new: str, *names: str) -> dict[str, bytes]:
    changed = {name: json.dumps(rename(json.loads(records[name]), old, new)).encode() for name in names or (PROGRAM,)}
    return {**records, **changed}


def call(
    target: str, *arguments: dict[str, Any], name: str | None = None, **keywords: dict[str, Any]
) -> dict[str, Any]:
    """A node that calls `target` and returns nothing."""
    inputs = [{"name": "", "arg": argument, "kind": 1} for argument in arguments]
    inputs += [{"name": key, "arg": argument, "kind": 2} for key, argument in keywords.items()]
    return {
        "target": target,
        "inputs": inputs,
        "outputs": [{"as_none": True}],
        "metadata": {},
        "is_hop_single_tensor_return": None,
        "name": name,
    }


def with_node(records: Mapping[str, bytes], node: dict[str, Any]) -> dict[str, bytes]:
    """The program with one more node, first in its graph."""
    return edited(records, lambda program: graph(program)["nodes"].insert(0, copy.deepcopy(node)))


class Runs:
    """An object whose pickle, when read, runs a line of Python."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (self.code,)


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()
