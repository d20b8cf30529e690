"""Which nvcc is taken: $CUDA_HOME's, PATH's, the toolkit's, and last that of NVIDIA's wheels."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from attnexport.errors import InputError
from attnexport.plugins.building import toolchain
from attnexport.plugins.building.toolchain import Nvcc, find_nvcc, find_tool

ANSWERS = '#!/bin/sh\n[ "$1" = --version ] && echo "release 12.6, V12" || echo compute_87\n'


def program(path: Path, text: str = ANSWERS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def no_toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A machine without CUDA outside this Python's packages."""
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(toolchain, "_USUAL_FOLDER", tmp_path / "usual" / "bin")


def test_the_order_in_which_they_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wheels = program(tmp_path / "site" / "nvidia" / "cu99" / "bin" / "nvcc")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert find_tool("nvcc") == wheels
    usual = program(tmp_path / "usual" / "bin" / "nvcc")
    assert find_tool("nvcc") == usual
    on_path = program(tmp_path / "path" / "nvcc")
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert find_tool("nvcc") == on_path
    home = program(tmp_path / "home" / "bin" / "nvcc")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "home"))
    assert find_nvcc() == Nvcc(home, "12.6", (87,))


@pytest.mark.parametrize("layout", ["lib", "lib64"])
def test_libraries_are_named_where_nvcc_does_not_look(layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = program(tmp_path / "cuda" / "bin" / "nvcc")
    libraries = tmp_path / "cuda" / layout
    libraries.mkdir()
    (libraries / "libcudart_static.a").write_bytes(b"")
    link = tmp_path / "links" / "nvcc"
    link.parent.mkdir()
    link.symlink_to(path)
    monkeypatch.setenv("PATH", str(link.parent))
    options = (f"-L{libraries}",) if layout == "lib" else ()
    assert find_nvcc().command == (str(link), *options)


@pytest.mark.needs("g++", "CUDA's wheels")
def test_the_wheels_hold_a_whole_compiler(tmp_path: Path):
    nvcc = find_nvcc()
    assert Path(sys.prefix) in nvcc.path.parents
    assert {80, 87, 90, 110, 120} <= set(nvcc.architectures)
    source = tmp_path / "launch.cu"
    source.write_text("#include <cuda_fp16.h>\n__global__ void run(half* x) { *x = __hadd(*x, *x); }\nint main() {}\n")
    command = [*nvcc.command, "-arch=sm_87", "-cudart=static", source, "-o", tmp_path / "launch"]
    subprocess.run(command, check=True)
    subprocess.run([tmp_path / "launch"], check=True)


@pytest.mark.needs("nvcc")
def test_the_nvcc_here_says_what_it_can(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    nvcc = find_nvcc()
    assert float(nvcc.cuda) >= 11.8
    assert {80, 86, 90} <= set(nvcc.architectures)


def test_a_program_that_is_no_compiler_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program(tmp_path / "bin" / "nvcc", "#!/bin/sh\necho broken >&2; exit 3\n")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"nvcc: --version failed: broken"):
        find_nvcc()
