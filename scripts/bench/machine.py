"""What was measured on: figures without it mean nothing."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def processor():
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def describe():
    """A line each for the machine and for the versions."""
    threads = os.environ.get("OMP_NUM_THREADS", "as many as each library chooses")
    names = ("numpy", "torch", "tensorflow", "keras")
    return [
        f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}; threads: {threads}",
        f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in names),
    ]
