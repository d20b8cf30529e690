"""Largest resident size and processor time of calibrate at 64 and 4,096 samples.

python -m benchmarks.calibration_memory; each line is a process of its own, on images for digits/krause, in a folder of
files of 64 or in one file.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

DIGITS = Path(__file__).parents[1] / "samples" / "digits"
METHODS = ("minmax", "percentile", "entropy", "mse")
SAMPLES = (64, 4096)
ROWS = 64


def measure(file: str, data: str, method: str) -> tuple[float, float, float]:
    """MiB before the run and at most in it, and seconds of the processor."""
    import attnexport
    import attnexport.calibration.collectors
    import attnexport.calibration.observing

    Path("/proc/self/clear_refs").write_text("5")
    before, start = resident_mib("VmRSS"), time.process_time()
    attnexport.calibrate(file, data, method=method)
    return before, resident_mib("VmHWM"), time.process_time() - start


def resident_mib(field: str) -> float:
    """Resident size of this process, MiB: VmRSS now, VmHWM at most since it was cleared."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def write_samples(folder: Path, count: int) -> tuple[Path, Path]:
    """A folder of files of ROWS images, and one file with the same: those of the test set again and again."""
    with np.load(DIGITS / "test.npz") as stored:
        images = np.resize(stored["image"], (count, *stored["image"].shape[1:]))
    parts, whole = folder / f"{count}", folder / f"{count}.npz"
    parts.mkdir()
    for start in range(0, count, ROWS):
        np.savez(parts / f"{start:06}.npz", image=images[start : start + ROWS])
    np.savez(whole, image=images)
    return parts, whole


def main() -> None:
    if len(sys.argv) == 4:
        print(*measure(*sys.argv[1:]))
        return
    import attnexport

    print("| samples | data | method | before, MiB | at most, MiB | processor, s |")
    print("|---:|---|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        attnexport.convert(DIGITS / "krause.pt2", None, folder / "krause.onnx")
        for count in SAMPLES:
            for data, said in zip(write_samples(folder, count), ("folder", "one file"), strict=True):
                for method in METHODS:
                    command = [sys.executable, "-m", "benchmarks.calibration_memory"]
                    given = [str(folder / "krause.onnx"), str(data), method]
                    done = subprocess.run([*command, *given], capture_output=True, text=True, check=True)
                    before, after, seconds = map(float, done.stdout.split())
                    row = f"| {count} | {said} | {method} | {before:.0f} | {after:.0f} | {seconds:.1f} |"
                    print(row, flush=True)


if __name__ == "__main__":
    main()
