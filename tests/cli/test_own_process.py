"""What the command line asks of its process, and of nobody else's."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

from tests.cli.commands import Run

SCRIPT = """
import atexit, gc, os, sys
from attnexport.cli import main
atexit.register(lambda: print("END", os.environ["OMP_WAIT_POLICY"], gc.get_threshold()[0] > 10000))
sys.argv = ["attnexport", "targets"]
main()
"""


def last_line(**environment: str) -> str:
    """What the process of a command says of itself in the end."""
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env={**inherited, **environment}, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_threads_without_work_sleep_and_garbage_waits():
    assert last_line() == "END PASSIVE True"


def test_what_the_user_says_of_openmp_stays():
    assert last_line(OMP_WAIT_POLICY="ACTIVE") == "END ACTIVE True"


def test_a_process_that_calls_commands_from_python_stays_as_it_is(run: Run):
    before = os.environ.get("OMP_WAIT_POLICY"), gc.get_threshold()
    assert run("targets").code == 0
    assert (os.environ.get("OMP_WAIT_POLICY"), gc.get_threshold()) == before
