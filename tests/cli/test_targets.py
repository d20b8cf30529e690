"""The table of targets: every device the kernels are for, with the facts that decide what is built for it."""

from __future__ import annotations

from attnexport.plugins.building.architectures import KNOWN
from attnexport.targets import TARGETS


def test_the_table_shows_every_target_and_its_source(run):
    result = run("targets")
    assert (result.code, result.err) == (0, "")
    for target in TARGETS.values():
        assert target.name in result.text
        assert target.source in result.text


def test_targets_with_plugins_have_architectures_that_plugins_build_knows():
    served = {sm for target in TARGETS.values() if target.plugin_api is not None for sm in target.sms}
    thor_before_cuda_13 = {101}
    assert served == set(KNOWN) - thor_before_cuda_13
    unserved = {sm for target in TARGETS.values() if target.plugin_api is None for sm in target.sms}
    assert not unserved & set(KNOWN)


def test_tensorrt_8_has_no_bfloat16():
    eights = [target for target in TARGETS.values() if target.tensorrt.startswith("8.")]
    assert eights
    assert not any("bf16" in target.precisions for target in eights)


def test_the_plugin_interface_follows_from_tensorrt():
    for target in TARGETS.values():
        if target.plugin_api is not None:
            assert target.plugin_api == ("v2" if target.tensorrt.startswith("8.") else "v3"), target.name
        assert target.local_functions == (not target.tensorrt.startswith("8."))
        assert (target.opset <= 17) == target.tensorrt.startswith("8.")
