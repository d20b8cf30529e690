"""The gate catches every planted fault, names its layer, and says nothing of models without one."""

from __future__ import annotations

import os

import pytest

from tests.faults.confusion import MODELS, Converted, converted, faultless_case, faulty_case
from tests.faults.faults import FAULTS, Fault

EVERY_CASE = bool(os.environ.get("ATTNEXPORT_EVERY_CASE"))
"""Set for every fault and every model; without, for the faults that must be caught and a model of each variant."""


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Converted:
    return converted(tmp_path_factory.mktemp("faults"))


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS if EVERY_CASE else FAULTS[:12], ids=lambda fault: fault.name)
def test_fault_is_caught_and_its_layer_named(base: Converted, fault: Fault):
    case = faulty_case(base, fault)
    assert not case.verdict.passed
    assert case.named == (fault.layer or "embed")


@pytest.mark.slow
@pytest.mark.parametrize("number", range(MODELS if EVERY_CASE else 5))
def test_nothing_is_said_of_a_model_without_a_fault(tmp_path, number):
    case = faultless_case(tmp_path, number)
    assert case.verdict.passed
    assert case.verdict.guilty is None
