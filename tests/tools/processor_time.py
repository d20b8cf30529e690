"""Tells which tests took the most processor time, that of their child processes included: --slowest 10."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Generator

import pytest

_PROPERTY = "processor seconds"
_OPTION = "--slowest"
_BEFORE = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(_OPTION, type=int, default=0, metavar="N", help="end with the N tests of most processor time")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    item.config.stash[_BEFORE] = _processor_seconds()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    seconds = _processor_seconds()
    # What is in here comes back from the workers of pytest-xdist.
    report.user_properties.append((_PROPERTY, seconds - item.config.stash[_BEFORE]))
    item.config.stash[_BEFORE] = seconds
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tests: Counter[str] = Counter()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        for key, seconds in getattr(report, "user_properties", ()):
            if key == _PROPERTY:
                tests[report.nodeid] += seconds
    slowest = tests.most_common(config.getoption(_OPTION))
    if slowest:
        terminalreporter.write_sep("=", f"{tests.total():.0f} s of processor time, most of it in")
        for name, seconds in slowest:
            terminalreporter.write_line(f"{seconds:6.1f} s {name}")
        for folder, seconds in _folders(tests).most_common():
            terminalreporter.write_line(f"{seconds:6.1f} s {folder}")


def _folders(tests: Counter[str]) -> Counter[str]:
    """Sums by the folder below tests."""
    sums: Counter[str] = Counter()
    for name, seconds in tests.items():
        sums["/".join(name.split("::")[0].split("/")[:2])] += seconds
    return sums


def _processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
