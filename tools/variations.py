"""Run notebooks again with other parameters: what a chapter asserts must hold for those too.

    python -m tools.variations [NOTEBOOK ...]     without arguments, every notebook of the book

The sets lie in tests/notebooks/variations/<part>/<name>.yml:

    budget_seconds: 60
    sets:
      - name: another seed
        parameters: {seed: 7}
      - name: odd sizes
        parameters: {seed: 3, d: 5}
"""

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from tools.normalise import output_problems, read_notebook
from tools.parameters import check_values, declared
from tools.paths import BOOK, VARIATIONS, name_of, notebooks
from tools.run import BUDGET_SECONDS, NotebookError, execute


@dataclass(frozen=True)
class Variation:
    name: str
    parameters: dict[str, object]
    budget_seconds: float


def file_of(notebook: Path) -> Path:
    return VARIATIONS / notebook.resolve().relative_to(BOOK).with_suffix(".yml")


def load(notebook: Path, file: Path | None = None) -> list[Variation]:
    """The sets of a notebook, checked against what it declares; ValueError says what is wrong."""
    file = file or file_of(notebook)
    if not file.exists():
        raise ValueError(f"{name_of(notebook)} has no variations: write {name_of(file)}")
    try:
        return _parse(yaml.safe_load(file.read_text(encoding="utf-8")), notebook)
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{name_of(file)}: {error}") from None


def _parse(content: object, notebook: Path) -> list[Variation]:
    _keys(content, {"budget_seconds", "sets"}, "the file")
    budget, sets = content["budget_seconds"], content["sets"]
    if isinstance(budget, bool) or not isinstance(budget, int | float) or not 0 < budget <= BUDGET_SECONDS:
        raise ValueError(f"budget_seconds must be a number up to {BUDGET_SECONDS:g}, got {budget!r}")
    if not isinstance(sets, list) or len(sets) < 2:
        raise ValueError("`sets` must be a list of at least two")
    content_of_notebook = read_notebook(notebook)
    defaults = {name: parameter.value for name, parameter in declared(content_of_notebook).items()}
    found: list[Variation] = []
    for each in sets:
        _keys(each, {"name", "parameters"}, "a set")
        name, values = each["name"], each["parameters"]
        if not isinstance(values, dict) or not values:
            raise ValueError(f"set {name!r}: `parameters` must name at least one")
        try:
            check_values(content_of_notebook, values)
        except ValueError as error:
            raise ValueError(f"set {name!r}: {error}") from None
        if all(defaults[key] == value for key, value in values.items()):
            raise ValueError(f"set {name!r} changes nothing: these are the values in the notebook")
        if any(name == other.name or values == other.parameters for other in found):
            raise ValueError(f"set {name!r} is there twice")
        found.append(Variation(name, values, float(budget)))
    if all(each.parameters.get("seed", defaults.get("seed")) == defaults.get("seed") for each in found):
        raise ValueError("one set at least must have another `seed` than the notebook")
    return found


def _keys(content: object, expected: set[str], what: str) -> None:
    if not isinstance(content, dict) or set(content) != expected:
        got = sorted(map(str, content)) if isinstance(content, dict) else content
        raise ValueError(f"{what} must have exactly the keys {', '.join(sorted(expected))}, got {got!r}")


def strays(files: list[Path] | None = None) -> list[str]:
    """Files of variations that belong to no notebook: nothing would ever run them."""
    known = {file_of(notebook) for notebook in notebooks()}
    found = sorted(VARIATIONS.rglob("*.y*ml")) if files is None else files
    return [name_of(file) for file in found if file not in known]


def run(notebook: Path, variation: Variation, workers: int = 1) -> float:
    """Run a copy in an empty folder, as a reader would who downloaded that one file; the seconds it took."""
    with tempfile.TemporaryDirectory(prefix="variation-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / notebook.name
        shutil.copyfile(notebook, copy)
        try:
            executed, seconds = execute(
                copy,
                parameters=variation.parameters,
                budget_seconds=variation.budget_seconds,
                workers=workers,
            )
        except NotebookError as error:
            raise NotebookError(f"{name_of(notebook)} with {variation.parameters}: {error}") from None
    # Paths of this machine are allowed here: nothing is stored. A warning is not.
    if noisy := [problem for problem in output_problems(executed) if "stderr" in problem]:
        raise NotebookError(f"{name_of(notebook)} with {variation.parameters}:\n  " + "\n  ".join(noisy))
    return seconds


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.variations", description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK")
    failed = 0
    for notebook in parser.parse_args(arguments).notebooks or notebooks():
        try:
            for variation in load(notebook):
                seconds = run(notebook, variation)
                print(f"{seconds:6.1f} s  {name_of(notebook)}  {variation.name}: {variation.parameters}")
        except (NotebookError, ValueError) as error:
            print(f"FAILED  {error}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
