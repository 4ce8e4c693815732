"""Run notebooks from top to bottom in a fresh kernel and store their outputs in normal form.

    python -m tools.run [NOTEBOOK ...]            without arguments, every notebook of the book
    python -m tools.run --check NOTEBOOK          run, but store nothing

A notebook that fails is left as it was.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import papermill
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from tools.kernel import surroundings
from tools.normalise import normalise, output_problems, read_notebook, write_notebook
from tools.parameters import check_values
from tools.paths import name_of, notebooks
from tools.setup_cell import insert, source

BUDGET_SECONDS = 60.0
# On a busy machine a run takes longer than it costs: so many times its budget it may wait for its turn.
PATIENCE = 3


class NotebookError(Exception):
    """A notebook did not run as it must; the message says which cell and why."""


def execute(
    notebook: Path,
    *,
    parameters: dict[str, object] | None = None,
    folder: Path | None = None,
    budget_seconds: float = BUDGET_SECONDS,
    workers: int = 1,
) -> tuple[NotebookNode, float]:
    """Run a notebook in a fresh kernel, in `folder` (by default its own): the executed one, and the seconds.

    Raises NotebookError for a missing parameters cell, a parameter that is unknown or of another type,
    a failing cell, a kernel that dies, and a run over its time budget.
    """
    parameters = parameters or {}
    try:
        check_values(read_notebook(notebook), parameters)
    except ValueError as error:
        raise NotebookError(f"{name_of(notebook)}: {error}") from None
    with tempfile.TemporaryDirectory(prefix="run-", ignore_cleanup_errors=True) as temporary:
        output = Path(temporary) / notebook.name
        start, cost = time.monotonic(), _kernel_seconds()
        try:
            with surroundings(workers):
                papermill.execute_notebook(
                    notebook,
                    output,
                    parameters=parameters,
                    kernel_name="python3",
                    language="python",
                    cwd=folder or notebook.parent,
                    progress_bar=False,
                    execution_timeout=PATIENCE * budget_seconds,
                )
        except PapermillExecutionError as error:
            raise NotebookError(_failure(notebook, error)) from None
        except CellTimeoutError as error:
            cell = str(error).partition("Here is a preview")[2]
            raise NotebookError(
                f"{name_of(notebook)}: over its time budget of {budget_seconds:g} s, in this cell:{cell}"
            ) from None
        except DeadKernelError:
            raise NotebookError(f"{name_of(notebook)}: its kernel died ({_last_cell(output)})") from None
        seconds, cost = time.monotonic() - start, _kernel_seconds() - cost
        over = min(seconds, cost or seconds) > budget_seconds or seconds > PATIENCE * budget_seconds
        if over:
            raise NotebookError(
                f"{name_of(notebook)}: took {seconds:.0f} s, over its time budget of {budget_seconds:g} s"
            )
        return read_notebook(output), seconds


def _kernel_seconds() -> float:
    """Processor time of the kernels that this process has started and that have ended (0 on Windows)."""
    times = os.times()
    return times.children_user + times.children_system


def _failure(notebook: Path, error: PapermillExecutionError) -> str:
    frames = "\n".join(error.traceback)
    return (
        f"{name_of(notebook)}: cell {error.cell_index} failed with {error.ename}: {error.evalue}\n\n"
        f"{error.source}\n\n{frames}"
    )


def _last_cell(output: Path) -> str:
    """Where a kernel died, from what papermill had saved by then."""
    if not output.exists():
        return "before the first cell ended"
    running = [
        number
        for number, cell in enumerate(read_notebook(output).cells)
        if cell.metadata.get("papermill", {}).get("status") == "running"
    ]
    return f"in cell {running[0]}" if running else "between two cells"


def store(notebook: Path, budget_seconds: float = BUDGET_SECONDS, *, check_only: bool = False) -> float:
    """Run a notebook and write it back with its new outputs; the seconds it took."""
    before = read_notebook(notebook)
    setup = source()
    if not any(cell.source == setup for cell in before.cells):
        # The stored outputs must be those of the cells that are stored.
        write_notebook(insert(before, setup), notebook)
    executed, seconds = execute(notebook, budget_seconds=budget_seconds)
    if problems := output_problems(normalise(executed)):
        raise NotebookError(f"{name_of(notebook)}: its outputs cannot be stored:\n  " + "\n  ".join(problems))
    if not check_only:
        write_notebook(executed, notebook)
    return seconds


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.run", description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--check", action="store_true", help="run, but store nothing")
    parser.add_argument("--budget", type=float, default=BUDGET_SECONDS, metavar="SECONDS", help="time for a notebook")
    options = parser.parse_args(arguments)
    failed = 0
    for notebook in options.notebooks or notebooks():
        try:
            seconds = store(notebook, options.budget, check_only=options.check)
        except (NotebookError, FileNotFoundError) as error:
            print(f"FAILED  {error}", file=sys.stderr)
            failed += 1
        else:
            print(f"{seconds:6.1f} s  {name_of(notebook)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
