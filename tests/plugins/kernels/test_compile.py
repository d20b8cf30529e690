"""The kernels that the samples use compile for Orin and Hopper, and none spills in its main loop."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from attnexport.plugins.building.sources import Sources
from tests.plugins.libraries import ARCHITECTURES

SCRIPT = Sources().root / "tests" / "spills.py"
LOG = """\
ptxas info    : Compiling entry function '_Z4goodv' for 'sm_{sm}'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers
ptxas info    : Compiling entry function '_Z7spillerv' for 'sm_{sm}{feature}'
    400 bytes stack frame, {stores} bytes spill stores, {loads} bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers
"""


@pytest.fixture(scope="module")
def spills() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("spills", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["spills"] = module
    spec.loader.exec_module(module)
    return module


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("feature", "stores", "loads", "code"),
    [("", 0, 0, 0), ("", 96, 8, 0), ("", 100, 8, 1), ("", 8, 100, 1), ("a", 0, 0, 0), ("a", 8, 0, 1)],
)
def test_the_script_names_a_kernel_that_spills(tmp_path: Path, feature: str, stores: int, loads: int, code: int):
    log = tmp_path / "build.log"
    log.write_text(LOG.format(sm=90, feature=feature, stores=stores, loads=loads))
    done = run(str(log))
    assert done.returncode == code, done.stderr
    assert ("spiller" in done.stdout) == (stores + loads > 0)
    assert "good" not in done.stdout
    assert "sm_90: 2 kernels" in done.stdout


@pytest.mark.parametrize("code", ["C7508", "C7510"])
def test_the_script_refuses_products_that_do_not_overlap(tmp_path: Path, code: str):
    log = tmp_path / "build.log"
    warning = f"ptxas info    : ({code}) Potential Performance Loss: of function '_Z4goodv'\n"
    log.write_text(LOG.format(sm=90, feature="a", stores=0, loads=0) + warning)
    done = run(str(log))
    assert done.returncode == 1
    assert code in done.stdout


def test_a_log_without_ptxas_is_no_proof(tmp_path: Path):
    log = tmp_path / "build.log"
    log.write_text("$ nvcc -c krause.cu\n")
    done = run(str(log))
    assert done.returncode == 2
    assert done.stderr.startswith("expected the output of ptxas -v in ")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_kernels_of_the_samples_keep_their_loops_in_registers(samples_library: Path, spills: ModuleType):
    lines = (samples_library / "build.log").read_text().splitlines()
    kernels = spills.read_kernels(lines)
    assert {kernel.architecture for kernel in kernels} == set(ARCHITECTURES)
    assert len(kernels) >= 100
    assert any(kernel.is_hopper for kernel in kernels)
    assert not [kernel for kernel in kernels if kernel.exceeds()], spills.table(kernels)
    assert not spills.lost_overlaps(lines)
