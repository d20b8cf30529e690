"""What the command line asks of Python and of OpenMP in a process of its own, before anything large is imported."""

from __future__ import annotations

import atexit
import gc
import os

_NEW_OBJECTS = 50_000
"""Between two walks of the garbage collection; Python's 700 makes it a fifth of the time of importing torch."""


def spare_processors() -> None:
    """Lets threads without work sleep, and garbage wait.

    Between two small operators OpenMP's threads would otherwise spin, and take more of the processor than the work
    does; what the user's environment says of OpenMP stays. At the end nothing walks through what was imported: the
    system takes all of it at once.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)
