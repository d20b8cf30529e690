"""Installs what tests need and apt has, where this user may: python -m tests.tools. What it cannot, pytest tells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests.tools import TOOLS

QUIETLY = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}


def main() -> None:
    missing = [tool for tool in TOOLS.values() if tool.packages and tool.find() is None]
    if not missing or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    print(f"installing with apt: {', '.join(tool.name for tool in missing)}", flush=True)
    said = _apt("update")
    for tool in missing:
        for packages in tool.packages:
            said = _apt("install", "--yes", "--no-install-recommends", *packages)
            if not said:
                break
        else:
            print(f"apt cannot install {tool.name}: {said}", file=sys.stderr)


def _apt(*arguments: str) -> str:
    """The last line of what went wrong, or nothing."""
    command = ["apt-get", "-qq", *arguments]
    done = subprocess.run(command, env=QUIETLY, capture_output=True, text=True, check=False)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return "" if done.returncode == 0 else (lines or [f"exit code {done.returncode}"])[-1]


if __name__ == "__main__":
    main()
