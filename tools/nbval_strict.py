"""A pytest plugin that closes what nbval leaves open: python -m pytest --nbval -p tools.nbval_strict book

- A stored cell that was never run passes in nbval, whatever it would print: here it fails.
- nbval does not look at PNG figures: here they are compared, `tools.pictures` says how.
- A kernel that dies costs nbval the whole time-out of a cell: here it is seen within a second.
- The kernel's surroundings are those in which the outputs were stored, `tools.kernel`.
- With --older-processor the libraries compute as on a processor without AVX-512: the outputs must be the same.
"""

import base64
import os
import time
from contextlib import ExitStack
from queue import Empty

import nbval.plugin
import pytest
from nbval.kernel import RunningKernel
from nbval.plugin import IPyNbCell, IPyNbFile

from tools.kernel import OLDER_PROCESSOR, surroundings
from tools.pictures import DRIFTING, STRICT, difference

DRIFTING_TAG = "figure-may-drift"


class WatchedKernel(RunningKernel):
    """A kernel that says so when it has died, and that runs cells as a reader's does."""

    def execute_cell_input(self, cell_input, allow_stdin=None):
        # Without history, as nbval asks, IPython misses the `;` that keeps a last value from the page.
        return self.kc.execute(cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)

    def get_message(self, stream, timeout=None):
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = 1.0 if end is None else max(0.0, min(1.0, end - time.monotonic()))
            try:
                return super().get_message(stream, timeout=left)
            except Empty:
                if not self.is_alive():
                    raise RuntimeError("the kernel died while this cell ran") from None
                if end is not None and time.monotonic() >= end:
                    raise


class StrictCell(IPyNbCell):
    def runtest(self):
        if self.cell.execution_count is None and not self.options["skip"]:
            self.raise_cell_error("This cell was never run: it stores nothing to compare with. Run: make run NB=…")
        super().runtest()

    def compare_outputs(self, test, ref, skip_compare=None):
        if not super().compare_outputs(test, ref, skip_compare):
            return False
        tolerance = DRIFTING if DRIFTING_TAG in self.cell.metadata.get("tags", []) else STRICT
        stored, reproduced = _figures(ref), _figures(test)
        if len(stored) != len(reproduced):
            self.comparison_traceback.append(f"{len(stored)} figures are stored, {len(reproduced)} were drawn")
            return False
        for number, pair in enumerate(zip(stored, reproduced, strict=True), start=1):
            if found := difference(*pair, tolerance):
                self.comparison_traceback.append(f"figure {number} of this cell: {found}")
                return False
        return True


def _figures(outputs) -> list[bytes]:
    return [base64.b64decode(o["data"]["image/png"]) for o in outputs if "image/png" in o.get("data", {})]


class StrictFile(IPyNbFile):
    def collect(self):
        for cell in super().collect():
            yield StrictCell.from_parent(
                self, name=cell.name, cell_num=cell.cell_num, cell=cell.cell, options=cell.options
            )


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    collectors = yield
    return [StrictFile.from_parent(parent, path=file_path) if type(each) is IPyNbFile else each for each in collectors]


def pytest_addoption(parser):
    parser.addoption("--older-processor", action="store_true", help="compute as on a processor without AVX-512 (x86)")


STACK = pytest.StashKey[ExitStack]()


def pytest_configure(config):
    nbval.plugin.RunningKernel = WatchedKernel
    stack = config.stash[STACK] = ExitStack()
    stack.enter_context(surroundings(int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))))
    if config.getoption("--older-processor"):
        os.environ.update(OLDER_PROCESSOR)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    # Not in pytest_unconfigure: the workers of xdist end without it.
    session.config.stash[STACK].close()
