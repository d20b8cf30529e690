"""Tells of missing tools: which are, at the start of a run, and how many tests that cost, at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable

import pytest

from tests.tools import TOOLS, MissingTool, Tool, require

_PROPERTY = "missing tool"
_OPTION = "--every-tool"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(_OPTION, action="store_true", help="refuse to run where a tool is missing that can be installed")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption(_OPTION):
        missing = _missing(tool for tool in TOOLS.values() if not tool.of_the_machine)
        if missing:
            raise pytest.UsageError(_said("missing", missing))


def pytest_report_header() -> list[str]:
    missing = _missing(TOOLS.values())
    return [_said("missing, and tests that need it are skipped", missing)] if missing else []


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            require(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, MissingTool):
        # What is in here comes back from the workers of pytest-xdist.
        report.user_properties.append((_PROPERTY, call.excinfo.value.tool.name))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    cost = Counter(name for report in skipped for key, name in report.user_properties if key == _PROPERTY)
    if cost:
        parts = [f"{name} {count} ({TOOLS[str(name)].remedy})" for name, count in cost.most_common()]
        terminalreporter.write_line(f"tests skipped for want of a tool: {cost.total()}; {', '.join(parts)}")


def _missing(tools: Iterable[Tool]) -> list[Tool]:
    return [tool for tool in tools if tool.find() is None]


def _said(what: str, tools: list[Tool]) -> str:
    return f"{what}: {', '.join(f'{tool.name} ({tool.remedy})' for tool in tools)}"
