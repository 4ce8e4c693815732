"""What was measured on: figures without it mean nothing."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

SETTINGS = ("OMP_", "MKL_", "OPENBLAS_", "ONEDNN_", "XLA_")


def processor():
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def describe():
    """A line each for the machine, for the versions, and for what the environment tells the libraries, if anything."""
    told = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith(SETTINGS)]
    names = ("numpy", "torch", "tensorflow", "keras")
    return [
        f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in names),
        *([f"Set in the environment: {', '.join(told)}"] if told else []),
    ]
