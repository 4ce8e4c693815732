"""Whether what is installed is what is pinned: stored outputs can only be reproduced with the same versions.

python -m tools.pins             compare this environment with requirements.txt and constraints.txt
python -m tools.pins --lock      write constraints.txt from this environment (after changing requirements.txt)
"""

import argparse
import re
import sys
from importlib.metadata import distributions
from pathlib import Path

from packaging.utils import canonicalize_name

from tools.paths import ROOT

REQUIREMENTS = ROOT / "requirements.txt"
CONSTRAINTS = ROOT / "constraints.txt"
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.!_-]+)")

# Not pinned: ourselves, pip, and what only some systems or kinds of wheel bring along.
FREE = re.compile(
    r"attnlib|pip|colorama|pywin32|pywinpty|appnope|intel-openmp|mkl|tbb|tensorflow-intel|triton|nvidia-.*|cuda-.*"
    r"|tensorflow-io-gcs-filesystem|exceptiongroup|tomli"
)

HEAD = """\
# What the packages of requirements.txt need in turn, pinned exactly. Written by: python -m tools.pins --lock
"""


def read(path: Path) -> dict[str, str]:
    """The pins of a file; ValueError for a line that pins nothing exactly."""
    pins = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        found = PIN.fullmatch(line)
        if not found:
            raise ValueError(f"{path.name}:{number} must read name==version, got {line!r}")
        pins[canonicalize_name(found["name"])] = found["version"]
    return pins


def installed() -> dict[str, str]:
    """Name and version of what is installed here; the build of a version (2.13.0+cpu) is left out."""
    found = {canonicalize_name(each.name): each.version.partition("+")[0] for each in distributions()}
    return {name: version for name, version in sorted(found.items()) if not FREE.fullmatch(name)}


def problems(required: dict[str, str], locked: dict[str, str], here: dict[str, str]) -> list[str]:
    found = [
        f"{name} {version} is required but not installed" for name, version in required.items() if name not in here
    ]
    for name, version in (locked | required).items():
        if name in here and here[name] != version:
            found.append(f"{name} is {here[name]}, pinned is {version}")
        if name in required and locked.get(name, version) != version:
            found.append(f"{name} is pinned to {version} and to {locked[name]}")
    found += [f"{name} {here[name]} is installed but not pinned" for name in here if name not in locked | required]
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.pins", description=__doc__.splitlines()[0])
    parser.add_argument("--lock", action="store_true", help="write constraints.txt from this environment")
    required = read(REQUIREMENTS)
    if parser.parse_args(arguments).lock:
        lines = [f"{name}=={version}\n" for name, version in installed().items() if name not in required]
        CONSTRAINTS.write_text(HEAD + "".join(lines), encoding="utf-8", newline="\n")
    found = problems(required, read(CONSTRAINTS), installed())
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        print("install what is pinned: python -m tools.venv", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
