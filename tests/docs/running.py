"""Runs the blocks of a page, in a folder of its own in which samples/ lies."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import runpy
import shlex
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from attnexport.cli import main
from attnexport.display import progress
from tests.docs.commands import Command, console_commands
from tests.docs.comparing import OMITTED, same
from tests.docs.pages import ROOT, Block

WIDTH = 80
SHELL = set("|&;<>$`*?\n")


@dataclass(frozen=True)
class Difference:
    """What a block printed and does not show.

    Attributes:
        block: whose.
        command: the command, or None where the block as a whole failed.
        printed: lines that it printed.
    """

    block: Block
    command: Command | None
    printed: list[str]

    @property
    def omits(self) -> bool:
        """Whether some lines are left out of what is shown."""
        return self.command is not None and any(line.strip() in OMITTED for line in self.command.shown)

    def __str__(self) -> str:
        if self.command is None:
            return "\n".join([f"{self.block} fails:", *self.printed])
        line = self.block.line + self.command.line + 1
        told = [f"{self.block.page}:{line} shows of {self.command.text!r}:", *self.command.shown]
        return "\n".join([*told, "and it printed:", *self.printed])


@dataclass
class Page:
    """A page that is being run.

    Attributes:
        folder: in which its commands run.
        names: of its Python blocks, which are one program.
        code: exit code of the last command.
    """

    folder: Path
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "page"})
    code: int = 0

    def differences(self, block: Block) -> Iterator[Difference]:
        """Runs a block; yields what it does otherwise than the page says."""
        if block.language in ("console", "pycon"):
            yield from self._session(block)
            return
        for run in self._script(block) if block.language == "sh" else [lambda: self._python(block)]:
            printed = run()
            if self.code != 0:
                yield Difference(block, None, printed)

    def _session(self, block: Block) -> Iterator[Difference]:
        prompts = ("$ ", "> ") if block.language == "console" else (">>> ", "... ")
        commands = console_commands(block.code, *prompts)
        for command, following in zip(commands, [*commands[1:], None], strict=True):
            if block.language == "pycon":
                printed = self._typed(command.text)
            else:
                printed = self._command(command.text)
                if self.code != 0 and not (following and following.text.startswith("echo $?")):
                    yield Difference(block, None, [f"{command.text} ends with {self.code}, not shown", *printed])
                    return
            if not same(command.shown, printed):
                yield Difference(block, command, printed)

    def _script(self, block: Block) -> list[Callable[[], list[str]]]:
        """Its lines; or all of it, where one is more than a command."""
        lines = [line for line in block.code.replace("\\\n", " ").splitlines() if line.strip()]
        if any(SHELL & set(line.partition("#")[0]) for line in lines):
            return [lambda: self._shell(block.code)]
        return [partial(self._command, line) for line in lines]

    def _command(self, text: str) -> list[str]:
        text = text.replace("\\\n", " ")
        if text == "echo $?":
            code, self.code = self.code, 0
            return [str(code)]
        program, *args = shlex.split(text, comments=True)
        if not SHELL & set(text.partition("#")[0]):
            if program == "attnexport":
                return self._in_process(lambda: main(args, prog_name="attnexport"))
            if program in ("python", "python3") and args and args[0].endswith(".py"):
                return self._in_process(lambda: _run_script(args))
        return self._shell(text)

    def _in_process(self, call: Callable[[], Any]) -> list[str]:
        self.code = 0
        with _printed() as printed:
            try:
                call()
            except SystemExit as end:
                self.code = end.code if isinstance(end.code, int) else int(end.code is not None)
            except Exception:
                self.code = 1
                traceback.print_exc()
        return printed.getvalue().splitlines()

    def _shell(self, text: str) -> list[str]:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.code = done.returncode
        return done.stdout.splitlines()

    def _python(self, block: Block) -> list[str]:
        first = block.code.partition("\n")[0]
        if first.startswith("# ") and first.endswith(".py"):
            path = self.folder / first.removeprefix("# ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
            self.code = 0
            return []
        # Errors and inspect.getsource then show the line of the page.
        code = "\n" * block.line + block.code
        return self._in_process(lambda: exec(compile(code, str(ROOT / block.page), "exec"), self.names))

    def _typed(self, text: str) -> list[str]:
        """What an interactive session answers to some lines; of an error its last line."""
        mode = "single" if len(ast.parse(text).body) == 1 else "exec"
        with _printed() as printed:
            try:
                exec(compile(text + "\n", "<stdin>", mode), self.names)
            except Exception as error:
                print("".join(traceback.format_exception_only(error)), end="")
        return printed.getvalue().splitlines()


@contextlib.contextmanager
def page_in(folder: Path, cache: Path) -> Iterator[Page]:
    """A page whose commands find samples/ in their folder, as in a checkout, and a terminal of 80 columns.

    Args:
        folder: empty.
        cache: where attnexport keeps reference outputs.
    """
    (folder / "samples").symlink_to(ROOT / "samples")
    bins = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    given = {"PATH": bins, "COLUMNS": str(WIDTH), "NO_COLOR": "1", "XDG_CACHE_HOME": str(cache)}
    before, cwd, path, modules = dict(os.environ), Path.cwd(), list(sys.path), set(sys.modules)
    os.environ.update(given)
    os.chdir(folder)
    # A terminal's line about what is being done is gone when it is done.
    every, progress.EVERY_S = progress.EVERY_S, float(threading.TIMEOUT_MAX)
    sys.path.insert(0, str(folder))
    try:
        yield Page(folder)
    finally:
        os.chdir(cwd)
        progress.EVERY_S = every
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(before)
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
                del sys.modules[name]


def _run_script(args: list[str]) -> None:
    before = sys.argv
    sys.argv = list(args)
    try:
        runpy.run_path(args[0], run_name="__main__")
    finally:
        sys.argv = before


@contextlib.contextmanager
def _printed() -> Iterator[io.StringIO]:
    """Both streams, as a terminal mixes them, and warnings."""
    printed = io.StringIO()
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.resetwarnings()
        for hidden in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", hidden)
        yield printed
        for warning in caught:
            print(f"{warning.category.__name__}: {warning.message}", file=printed)
