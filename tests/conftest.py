"""Every test leaves the process in the folder it found it in."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

pytest_plugins = [
    "tests.thrift",
    "tests.tools.report",
    "tests.tools.processor_time",
    "tests.tools.chromium",
    "tests.cli.commands",
    "tests.plugins.plain",
    "tests.runtime.compiled",
]


@pytest.fixture(autouse=True)
def working_folder_is_kept() -> Iterator[None]:
    """Fails the test that changes the current folder for those after it."""
    before = os.getcwd()
    yield
    after = os.getcwd()
    os.chdir(before)
    assert after == before
