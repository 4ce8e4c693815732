"""The whole contract, `make test`: every step is run, its time printed, and one that fails hides no other.

python -m tools.check                  all steps
python -m tools.check hygiene nbval    some of them
python -m tools.check --list           their names, and what each runs

`older-processor` is run by name only: nbval once more, with other roundings. It finds what another machine would.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tools.paths import ROOT

WORKERS = min(4, os.cpu_count() or 1)
CELL_SECONDS = 180
PYTEST = [sys.executable, "-m", "pytest", "-q", "--no-header", "--color=no"]
SPREAD = ["-n", str(WORKERS)]
# What requirements-oldest.txt pins for this Python, and where tools/venv.py has put it.
OLDEST_NUMPY = "2.0" if sys.version_info < (3, 13) else "2.1"
OLDEST = Path(sys.prefix) / "oldest"


@dataclass(frozen=True)
class Step:
    name: str
    commands: tuple[list[str], ...]
    by_name_only: bool = False


def program(name: str) -> str:
    """A program of this environment, whether or not it has been activated."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or name


def nbval_command(*, spread: bool) -> list[str]:
    """nbval with our plugin. Warnings of Jupyter's own libraries are no fault of the book."""
    return [
        *PYTEST,
        *("-p", "tools.nbval_strict"),
        "--nbval",
        "--nbval-current-env",
        f"--nbval-cell-timeout={CELL_SECONDS}",
        *("-W", "default"),
        # The cells of a notebook belong together: one worker runs them all.
        *([*SPREAD, "--dist", "loadfile"] if spread else []),
    ]


def library(framework: str) -> Step:
    """A process for each framework: loaded together, PyTorch and TensorFlow disturb each other."""
    coverage = [sys.executable, "-m", "coverage"]
    data = f"--data-file=_build/coverage/data.{framework}"
    tests = [*PYTEST[1:], *SPREAD, "tests/library", "--framework", framework]
    return Step(f"library {framework}", ([*coverage, "erase", data], [*coverage, "run", data, *tests]))


def coverage() -> Step:
    """Which lines of attnlib the library's steps, when they last ran, have not run."""
    command = [sys.executable, "-m", "coverage"]
    return Step("coverage", ([*command, "combine", "--keep", "--quiet"], [*command, "report"]))


def oldest_numpy() -> Step:
    """attnlib.numpy once more, on the oldest NumPy that it runs on; the tests ask which one they got."""
    first_on_the_path = ["-o", f"pythonpath={shlex.quote(OLDEST.as_posix())}"]
    # Not the book's data set, exercises and figures: they come with the newest.
    others = [f"--ignore-glob=*/test_{name}*.py" for name in ("dates", "digits", "exercises", "plots")]
    command = [*PYTEST, *SPREAD, "tests/library", "--numpy", OLDEST_NUMPY, *others, *first_on_the_path]
    return Step("oldest-numpy", (command,))


def steps() -> list[Step]:
    tests = "tests/notebooks"
    slow = [f"{tests}/test_variations.py", f"{tests}/test_elsewhere.py", f"{tests}/test_hygiene.py"]
    workflows = [str(path) for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))]
    schema = [program("check-jsonschema"), "--builtin-schema"]
    return [
        Step("pins", ([sys.executable, "-m", "tools.pins"],)),
        Step(
            "ruff",
            (
                [sys.executable, "-m", "ruff", "check", "--quiet", "."],
                [sys.executable, "-m", "ruff", "format", "--check", "--quiet", "--exclude", "*.ipynb", "."],
            ),
        ),
        Step(
            "workflows",
            (
                [*schema, "vendor.github-workflows", *workflows],
                [*schema, "vendor.citation-file-format", "CITATION.cff"],
                [program("zizmor"), "--offline", "--quiet", "--no-progress", ".github/workflows"],
            ),
        ),
        library("numpy"),
        library("torch"),
        library("tensorflow"),
        coverage(),
        oldest_numpy(),
        Step("hygiene", ([*PYTEST, f"{tests}/test_hygiene.py"],)),
        Step("tools", ([*PYTEST, *SPREAD, tests, *(f"--ignore={path}" for path in slow)],)),
        Step("nbval", ([*nbval_command(spread=True), "book"],)),
        Step("older-processor", ([*nbval_command(spread=True), "--older-processor", "book"],), by_name_only=True),
        Step("variations", ([*PYTEST, *SPREAD, slow[0]],)),
        Step("elsewhere", ([*PYTEST, slow[1]],)),
        Step("book", ([sys.executable, "-m", "tools.build_book"],)),
        Step("site", ([*PYTEST, *SPREAD, "tests/site"],)),
    ]


def run_step(step: Step) -> tuple[bool, float]:
    print(f"\n== {step.name}", flush=True)
    start = time.monotonic()
    # Every command of a step, even after one that failed: its findings are wanted too.
    passed = [subprocess.run(command, cwd=ROOT).returncode == 0 for command in step.commands]
    return all(passed), time.monotonic() - start


def main(arguments: list[str] | None = None) -> int:
    every = steps()
    parser = argparse.ArgumentParser(prog="python -m tools.check", description=__doc__.splitlines()[0])
    parser.add_argument("steps", nargs="*", metavar="STEP", help=", ".join(step.name for step in every))
    parser.add_argument("--list", action="store_true", help="the steps and their commands")
    options = parser.parse_args(arguments)
    if options.list:
        for step in every:
            print(step.name)
            for command in step.commands:
                print("   ", subprocess.list2cmdline(command))
        return 0
    # `library` stands for its three.
    chosen = [
        s
        for s in every
        if (not options.steps and not s.by_name_only) or {s.name, s.name.partition(" ")[0]} & set(options.steps)
    ]
    if unknown := set(options.steps) - {name for s in chosen for name in (s.name, s.name.partition(" ")[0])}:
        parser.error(f"no step is called {', '.join(sorted(unknown))}")
    results = [(step.name, *run_step(step)) for step in chosen]
    return report(results)


def report(results: list[tuple[str, bool, float]]) -> int:
    """Print each step's time, so that one sees what grows; 1 if any step failed."""
    print("\n== times")
    for name, passed, seconds in results:
        print(f"{seconds:7.1f} s  {'ok    ' if passed else 'FAILED'}  {name}")
    print(f"{sum(seconds for *_, seconds in results):7.1f} s  in all")
    failed = [name for name, passed, _ in results if not passed]
    print(f"FAILED: {', '.join(failed)}" if failed else "All steps passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
