"""Builds with the nvcc that is here."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from attnexport.errors import InputError
from attnexport.plugins.building.compiling import CompileError
from attnexport.plugins.building.libraries import build
from attnexport.plugins.building.sources import Sources
from attnexport.plugins.building.tensorrt_headers import TensorRtHeaders, find_headers
from attnexport.plugins.calling.inspection import inspect_library
from attnexport.plugins.calling.library import load_library
from tests.plugins.libraries import tensorrt_include

pytestmark = pytest.mark.needs("g++", "nvcc")


@dataclass
class Recorder:
    """What a build said of its progress."""

    told: list[tuple[str, float | None]] = field(default_factory=list)

    def __call__(self, step: str, done: float | None) -> None:
        self.told.append((step, done))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def headers() -> TensorRtHeaders:
    return find_headers(tensorrt_include())


def test_kernels_alone(sources: Sources, output: Path):
    recorder = Recorder()
    result = build(output, progress=recorder, architectures=[90, 87], api="none", sources=sources)
    assert recorder.told[0] == ("compiling krause.cu", 0.0)
    named = {name for step, _ in recorder.told for name in step.removeprefix("compiling").split(", ")}
    assert {name.strip() for name in named} >= {"krause.cu", "libattnexport_kernels.so", "registry.cpp"}
    assert recorder.told[-1][1] == 1.0
    assert sorted(os.listdir(output)) == ["build.log", "libattnexport_kernels.so"]
    (library,) = result.libraries
    assert library.path == output / "libattnexport_kernels.so"
    assert library.bytes == library.path.stat().st_size
    opened = load_library(library.path)
    assert opened.info == result.info
    assert (opened.info.architectures, opened.info.ptx, opened.info.kernels) == ((87, 90), 90, ("krause",))
    assert list(opened.ops) == ["KrauseAttention"]
    facts = inspect_library(library.path)
    assert facts.notes == ()
    assert "code=compute_90" in (output / "build.log").read_text()


HOPPER_KERNEL = '__global__ void only_on_hopper() { asm volatile("wgmma.fence.sync.aligned;"); }\n'


@pytest.mark.parametrize(("architecture", "kernels"), [(90, ("krause",)), (87, ())])
def test_hoppers_own_kernels_are_machine_code_for_hopper(
    architecture: int, kernels: tuple[str, ...], sources: Sources, output: Path
):
    (sources.root / "kernels" / "sm90").mkdir()
    (sources.root / "kernels" / "sm90" / "krause.cu").write_text(HOPPER_KERNEL)
    result = build(output, architectures=[architecture], api="none", sources=sources)
    assert result.info.hopper == kernels
    log = (output / "build.log").read_text()
    assert ("-gencode=arch=compute_90a,code=sm_90a" in log) == bool(kernels)
    assert "code=compute_90a" not in log
    assert inspect_library(result.libraries[0].path).notes == ()


@pytest.mark.slow
def test_plugins_of_the_headers_here(sources: Sources, output: Path, headers: TensorRtHeaders):
    result = build(output, architectures=[87], tensorrt_include=headers.include, sources=sources)
    assert result.info.tensorrt == headers.name
    for library in result.libraries:
        assert load_library(library.path).info == result.info
    assert sorted(os.listdir(output)) == sorted(["build.log", *(library.path.name for library in result.libraries)])


def test_a_compiler_error_is_one_line_and_leaves_the_log(sources: Sources, output: Path):
    with sources.kernel("krause").open("a") as file:
        file.write("\nint broken() { return undeclared_name; }\n")
    with pytest.raises(CompileError) as caught:
        build(output, architectures=[87], api="none", sources=sources)
    message = str(caught.value)
    assert message.startswith("krause.cu: krause.cu(")
    assert "undeclared_name" in message
    assert message.endswith(f"the full log is {output / 'build.log'}")
    assert os.listdir(output) == ["build.log"]
    assert "undeclared_name" in (output / "build.log").read_text()


def test_a_host_without_a_compiler(sources: Sources, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompileError, match=r"^\S+: gcc: No such file or directory; the full log is "):
        build(output, architectures=[87], api="none", sources=sources)


def test_a_failed_build_keeps_the_library_that_was_there(sources: Sources, output: Path):
    output.mkdir()
    (output / "libattnexport_kernels.so").write_text("before")
    with sources.registry.open("a") as file:
        file.write("\n#error stop here\n")
    with pytest.raises(CompileError, match=r"registry\.cpp: .*stop here"):
        build(output, architectures=[87], api="none", sources=sources)
    assert (output / "libattnexport_kernels.so").read_text() == "before"


def test_a_symbol_that_is_missing_fails_the_link(sources: Sources, output: Path):
    with sources.kernel("krause").open("a") as file:
        file.write(
            "\nint missing_function();\nextern int (*const pointer)();\nint (*const pointer)() = missing_function;\n"
        )
    with pytest.raises(CompileError, match=r"libattnexport_kernels\.so: .*undefined reference.*missing_function"):
        build(output, architectures=[87], api="none", sources=sources)


def test_a_source_that_is_missing_is_named(sources: Sources, output: Path):
    sources.registry.unlink()
    with pytest.raises(InputError, match=r"registry\.cpp: expected a source of the plugin library, found none"):
        build(output, architectures=[87], api="none", sources=sources)
    assert not output.exists()
