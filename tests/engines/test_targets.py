"""What a target allows, and what it allows beside the TensorRT at hand."""

from __future__ import annotations

import pytest

from attnexport.engines.draft import limits_of
from attnexport.targets import TARGETS, find_target
from tests.engines.models import Release


@pytest.mark.parametrize(
    ("target", "inside", "outside"),
    [
        ("jetson-orin-jp6.2", ["10.3.0"], ["10.4.0", "8.6.2"]),
        ("jetson-thor-jp7", ["10.13.3", "10.16.1"], ["10.12.0", "11.4.1"]),
        ("h200", ["10.3.0", "11.4.1"], ["8.6.0", "12.0.0"]),
        ("rtx-40", ["1.7.1"], ["10.3.0"]),
    ],
)
def test_releases_of_a_target(target: str, inside: list[str], outside: list[str]):
    chosen = find_target(target)
    assert all(chosen.runs_tensorrt(version) for version in inside)
    assert not any(chosen.runs_tensorrt(version) for version in outside)


def test_rtx_targets_are_those_of_tensorrt_rtx():
    assert {name for name, target in TARGETS.items() if target.is_rtx} == {"rtx-30", "rtx-40", "rtx-50", "rtx"}


def test_an_older_tensorrt_limits_a_newer_target():
    limits = limits_of(find_target("h200"), Release("8.6.0"))
    assert (limits.opset, limits.plugin_api, limits.local_functions) == (17, "v2", False)
    assert limits.precisions == ("fp32", "fp16", "int8")
    limits = limits_of(find_target("h200"), Release("10.16.1"))
    assert (limits.opset, limits.plugin_api, limits.local_functions) == (24, "v3", True)
    assert "fp8" in limits.precisions


@pytest.mark.parametrize(
    ("target", "written", "highest"),
    [
        ("jetson-orin-jp6.0", 17, 17),
        ("jetson-orin-jp6.2", 20, 20),
        ("jetson-orin-jp7", 20, 24),
        ("h200", 20, 24),
        ("rtx", 20, 23),
    ],
)
def test_a_higher_opset_than_what_is_written_is_parsed_where_some_tensorrt_of_the_target_does(
    target: str, written: int, highest: int
):
    assert (find_target(target).opset, find_target(target).highest_opset) == (written, highest)
    assert all(target.opset <= target.highest_opset for target in TARGETS.values())


def test_the_tensorrt_at_hand_says_what_is_parsed():
    assert limits_of(find_target("h200"), Release("10.3.0")).opset == 20
    assert limits_of(find_target("rtx-30"), Release("1.7.1")).opset == 23


def test_fp8_begins_with_ada():
    assert "fp8" not in limits_of(find_target("jetson-orin-jp7"), Release("10.16.1")).precisions
    assert "fp8" in limits_of(find_target("l4"), Release("10.16.1")).precisions
