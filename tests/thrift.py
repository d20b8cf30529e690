"""Saves time that no test is about, in the tests' processes and in those that they start."""

from __future__ import annotations

import gc
import os

import pytest

# Before anything imports torch: tensors here are small, and threads that wait for each other cost more than they gain.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Workers of pytest-xdist take modules with slow tests first, so that none is left for the end."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    _keep_modules_out_of_garbage_collection()


def _keep_modules_out_of_garbage_collection() -> None:
    """What was imported stays: walking through it again and again is a fifth of the time of an export."""
    gc.collect()
    gc.freeze()
