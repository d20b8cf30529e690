"""Run operators with hostile arguments, each in a child process of its own, between guard pages.

python -m tests.models.audit.probe [--calls 400] [--seed 0] [OPERATOR ...]

Without operators: every one that a program may call. Each that ended its process by a signal, or was busy for over
two seconds, is a line of the output with its arguments. Nothing that crashes may stay on the list.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils import _pytree as pytree

from attnexport.models.audit.checked import NAMESPACE
from attnexport.models.audit.operators import listed_operators, operator_of, operator_target
from tests.models.audit.probe.calls import Call, copied, drawn, sample_calls
from tests.models.audit.probe.hostile import hostile

_SECONDS = 2
_CRASHES = 2
_GUARD = Path(__file__).with_name("guard.c")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("operators", nargs="*")
    options = parser.parse_args()
    if "ATTNEXPORT_GUARDED" not in os.environ:
        return _start_guarded()
    wanted = [_operator(name) for name in options.operators or sorted(listed_operators())]
    torch.set_num_threads(1)
    samples = sample_calls()
    found = []
    for operator in wanted:
        recorded = samples[str(operator).replace(NAMESPACE, "aten")]
        starts = [Call(operator, call.arguments) for call in recorded] + drawn_calls(operator)
        found += probe(operator, starts, options.calls, options.seed)
    print(f"{len(wanted)} operators, {len(found)} found")
    return 1 if found else 0


def _start_guarded() -> int:
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "guard.so"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", _GUARD, "-o", library], check=True)
        environment = {**os.environ, "LD_PRELOAD": str(library), "ATTNEXPORT_GUARDED": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.models.audit.probe", *sys.argv[1:]]
        return subprocess.run(command, env=environment, check=False).returncode


def _operator(name: str) -> OpOverload:
    """What a program that names this operator calls."""
    found = operator_of(operator_target(f"torch.ops.{name}"))
    assert found is not None
    return found


def drawn_calls(operator: OpOverload) -> list[Call]:
    """Two calls that the operator accepts, of a few hundred at random, or two that it does not."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _quiet()
        for number in range(300):
            with contextlib.suppress(Exception):
                operator(**copied(drawn(operator, number).arguments))
                os.write(writer, number.to_bytes(4, "little"))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        accepted = stream.read()[:8]
    os.waitpid(child, 0)
    numbers = [int.from_bytes(accepted[at : at + 4], "little") for at in range(0, len(accepted), 4)] or [0, 1]
    return [drawn(operator, number) for number in numbers]


def probe(operator: OpOverload, starts: list[Call], count: int, seed: int) -> list[str]:
    """Lines about the calls that ended their process."""
    found: list[str] = []
    first = 0
    while first < count and len(found) < _CRASHES:
        ended_at, why = _in_child(starts, range(first, count), seed)
        if why:
            found.append(f"{operator}: {why}: {_shown(_case(starts, ended_at, seed))}")
            print(found[-1], flush=True)
        first = ended_at + 1
    return found


def _case(starts: list[Call], number: int, seed: int) -> Call:
    chance = random.Random(f"{number} {seed}")
    call = starts[number % len(starts)]
    return call if number < len(starts) else Call(call.operator, hostile(call.arguments, chance))


def _in_child(starts: list[Call], numbers: range, seed: int) -> tuple[int, str]:
    """Runs the cases; the number of the last one that was begun, and what ended the process there."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _quiet()
        for number in numbers:
            os.write(writer, number.to_bytes(4, "little"))
            signal.alarm(_SECONDS)
            _run(starts, number, seed)
        os._exit(0)
    os.close(writer)
    begun = b""
    while chunk := os.read(reader, 65536):
        begun = (begun + chunk)[-4:]
    os.close(reader)
    status = os.waitpid(child, 0)[1]
    last = int.from_bytes(begun, "little") if begun else numbers[0]
    if os.WIFSIGNALED(status):
        return last, signal.Signals(os.WTERMSIG(status)).name
    return numbers[-1], "" if os.WEXITSTATUS(status) == 0 else f"exit {os.WEXITSTATUS(status)}"


def _quiet() -> None:
    signal.alarm(_SECONDS)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _run(starts: list[Call], number: int, seed: int) -> None:
    library = ctypes.CDLL(None)
    guarding, at_the_start = (ctypes.c_int.in_dll(library, name) for name in ("guarding", "at_the_start"))
    at_the_start.value = number % 2
    guarding.value = 1
    try:
        call = _case(starts, number, seed)
        with torch.no_grad():
            results = call.operator(**call.arguments)
        for result in pytree.tree_leaves(results):
            if isinstance(result, Tensor) and result.layout is torch.strided and not result.is_quantized:
                result.clone()
    except (Exception, RecursionError):
        pass
    finally:
        guarding.value = 0


def _shown(call: Call) -> str:
    return ", ".join(f"{name}={_brief(value)}" for name, value in call.arguments.items())


def _brief(value: Any) -> str:
    if isinstance(value, Tensor):
        head = value.reshape(-1)[:6].tolist()
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}{head}"
    return f"[{', '.join(map(_brief, value))}]" if isinstance(value, list) else repr(value)


if __name__ == "__main__":
    sys.exit(main())
