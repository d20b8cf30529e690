"""Shows what compilers are at."""

from __future__ import annotations

import sys

from rich.text import Text

from attnexport.cli.console import PlainConsole
from attnexport.printable import printable


class CompileProgress:
    """A line on stderr for each file that is done; on a terminal also what is being compiled."""

    def __init__(self) -> None:
        self._console = PlainConsole(file=sys.stderr)
        self._status = self._console.status("compiling")
        self._running: list[str] = []

    def started(self, name: str) -> None:
        """A file is being compiled."""
        self._running.append(name)
        self._show()

    def finished(self, name: str, seconds: float) -> None:
        """It is done."""
        self._running.remove(name)
        self._console.print(f"{name}  {seconds:.0f} s")
        self._show()

    def _show(self) -> None:
        self._status.update(Text(printable(f"compiling {', '.join(self._running)}")))

    def __enter__(self) -> CompileProgress:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()
