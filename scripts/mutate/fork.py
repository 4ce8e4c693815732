"""Tests of a mutant in a process of its own, forked from one that has imported the framework already.

Importing PyTorch or TensorFlow takes seconds; a fork takes milliseconds. Only POSIX systems fork. The parent never
imports attnlib and runs nothing with the framework: a framework's threads do not survive a fork.
"""

import contextlib
import importlib
import importlib.machinery
import importlib.util
import math
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import _hypothesis_pytestplugin
import hypothesis
import numpy
import pytest

from scripts.mutate import targets
from tools.paths import ROOT

EXTRA_MEMORY = 6 * 2**30  # bytes that a mutant may take: a wrong shape can ask for any number
WARM = {
    "numpy": (),
    "torch": ("torch", "torch._dynamo", "torch._functorch.aot_autograd"),
    "tensorflow": ("tensorflow", "keras"),
}


@dataclass(frozen=True)
class Outcome:
    status: str  # killed, survived, timeout
    seconds: float
    test: str  # that failed first


class Mutated:
    """Finds one module in another file than its own. A real file: graphs are compiled from a function's source."""

    def __init__(self, name: str, path: Path):
        self.name, self.path = name, path

    def find_spec(self, name, path=None, target=None):
        loader = Uncached(name, str(self.path))
        return importlib.util.spec_from_file_location(name, self.path, loader=loader) if name == self.name else None


class Uncached(importlib.machinery.SourceFileLoader):
    """Keeps no compiled file: the next mutant has the same name, and may have the same size and time."""

    def path_stats(self, path):
        raise OSError


class FirstFailure:
    """Writes down which test failed first."""

    def __init__(self, path: Path):
        self.path = path

    def pytest_runtest_logreport(self, report):
        if report.failed and not self.path.exists():
            self.path.write_text(report.nodeid, encoding="utf-8")

    def pytest_collectreport(self, report):
        if report.failed and not self.path.exists():
            self.path.write_text(f"importing {report.nodeid}", encoding="utf-8")


def warm_up(framework: str) -> None:
    for name in WARM[framework]:
        importlib.import_module(name)
    numpy.random.default_rng(0)
    # A failing example is as good as the smallest one.
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile(
        "mutate", deadline=None, derandomize=True, max_examples=25, phases=phases, database=None
    )


def run(module: str, code: str, framework: str, work: Path, limit: float) -> Outcome:
    """The tests that concern a module, with `code` in its place, until one fails or took `limit` seconds in all.

    Seconds are the processor's, so that a busy machine finds no mutant slow; one that waits for ever is ended as well.
    """
    work.mkdir(parents=True, exist_ok=True)
    path, failure = work / targets.source(module).name, work / "failure.txt"
    path.write_text(code, encoding="utf-8")
    failure.unlink(missing_ok=True)
    pid = os.fork()
    if not pid:
        _child(module, framework, path, failure, math.ceil(limit))
    status, seconds = _wait(pid, time.monotonic() + 300 + 10 * limit)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGALRM):
        return Outcome("timeout", seconds, "")
    if status == 0:
        return Outcome("survived", seconds, "")
    test = failure.read_text(encoding="utf-8") if failure.exists() else f"ended with status {status}"
    return Outcome("killed", seconds, test)


def _wait(pid: int, until: float) -> tuple[int, float]:
    """The exit status and the processor's seconds of a child; one that is still at work at that time is ended."""
    while True:
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, round(used.ru_utime + used.ru_stime, 2)
        if time.monotonic() > until:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGALRM)
        time.sleep(0.01)


def _child(module: str, framework: str, path: Path, failure: Path, limit: int) -> None:
    """Never returns: the parent's work is not to be done twice."""
    status = 70
    try:
        os.setsid()
        output = os.open(path.parent / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(output, 1)
        os.dup2(output, 2)
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
        held = pages * resource.getpagesize() + EXTRA_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (held, held))
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        sys.meta_path.insert(0, Mutated("attnlib." + module.replace("/", "."), path))
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        arguments = ["-x", "-q", "--tb=line", "-p", "no:cacheprovider", "--hypothesis-profile=mutate"]
        arguments += ["-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"]  # imported for all
        arguments += ["-k", "not test_importing_loads_no_framework"]  # starts processes, which see no mutant
        arguments += ["--rootdir", str(ROOT), "--framework", framework, *targets.tests(module, framework)]
        status = int(pytest.main(arguments, plugins=[_hypothesis_pytestplugin, FirstFailure(failure)]))
    except BaseException as error:
        print(f"ended by {error!r}", flush=True)
    finally:
        os._exit(status)
