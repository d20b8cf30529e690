"""What a program that has taken over the child cannot do, and what an honest one still can."""

from __future__ import annotations

from pathlib import Path

import pytest

REFUSED = "refused: Operation not permitted"


@pytest.mark.usefixtures("files_are_out_of_reach")
@pytest.mark.parametrize(
    "act",
    [
        'open("planted", "w")',
        'open("outputs/planted", "w")',
        'open("given", "a")',
        'os.truncate("given", 0)',
        'os.unlink("given")',
        'os.rename("given", "cache/given")',
        'os.mkdir("planted")',
        'os.symlink("/etc", "cache/link")',
        'os.mkfifo("cache/pipe")',
        'open("secret").read()',
        'os.listdir(".")',
        'open(os.path.expanduser("~/.planted"), "w")',
        'open(f"/proc/{os.getppid()}/mem", "r+b")',
    ],
)
def test_files_that_it_was_not_given_are_out_of_reach(harm, folder: Path, act: str):
    before = {path: path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert harm(act) in ("refused: Permission denied", REFUSED)
    assert {path: path.read_text() for path in folder.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in folder.iterdir()) == ["cache", "given", "outputs", "secret"]


@pytest.mark.usefixtures("calls_are_refused")
@pytest.mark.parametrize(
    "act",
    [
        "import socket; socket.socket()",
        "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "import socket; socket.socket(socket.AF_UNIX).connect('/run/docker.sock')",
        "import socket; socket.socketpair()",
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "os.fork()",
        "os.execv('/bin/sh', ['sh', '-c', 'echo ran'])",
        "import subprocess; subprocess.run(['/bin/sh', '-c', 'echo ran'])",
        "os.posix_spawn('/bin/sh', ['sh', '-c', 'echo ran'], {})",
        "os.kill(os.getppid(), 15)",
        "os.kill(0, 15)",
        "os.chmod('given', 0o777)",
        "os.chown('given', 1, 1)",
    ],
)
def test_it_connects_to_nothing_starts_no_program_and_touches_no_other_process(harm, folder: Path, act: str):
    rights = (folder / "given").stat()
    assert harm(act) == REFUSED
    assert (folder / "given").stat() == rights


@pytest.mark.usefixtures("calls_are_refused")
@pytest.mark.needs("root")
def test_root_keeps_no_capability_but_those_over_files(harm):
    act = 'print(next(line for line in open("/proc/self/status") if line.startswith("CapEff")).split()[1])'
    assert int(harm(act), 16) & ~0b1110 == 0


def test_it_reads_what_it_was_given_starts_threads_and_keeps_files_in_the_cache_and_a_folder_of_its_own(harm, folder):
    said = harm("""
        import tempfile, threading
        print(open("given").read())
        thread = threading.Thread(target=print, args=("thread",))
        thread.start()
        thread.join()
        Path("cache/kept").write_text("kept")
        with tempfile.TemporaryDirectory() as scratch:
            (Path(scratch) / "file").write_text("")
        os.kill(os.getpid(), 0)
    """)
    assert said.split() == ["given", "thread"]
    assert (folder / "cache" / "kept").read_text() == "kept"


def test_its_outputs_land_and_nothing_else_that_it_puts_beside_them(harm, folder: Path):
    said = harm("""
        with replacing("outputs/out.onnx") as staging:
            (staging / "out.onnx").write_text("whole")
            (staging / "out.onnx.data").write_text("weights")
            (staging / ".bashrc").write_text("harm")
            (staging / ".config").mkdir()
    """)
    assert said == ""
    assert {path.name: path.read_text() for path in (folder / "outputs").iterdir()} == {
        "out.onnx": "whole",
        "out.onnx.data": "weights",
    }


def test_its_exit_code_is_the_commands_whose_outputs_land_all_the_same(harm, folder: Path):
    said = harm("""
        with replacing("outputs/out.onnx") as staging:
            (staging / "out.onnx").write_text("whole")
        return 1
    """)
    assert said == "code 1"
    assert (folder / "outputs" / "out.onnx").read_text() == "whole"
