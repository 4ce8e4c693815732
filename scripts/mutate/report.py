"""What became of the mutants: a table, a module a line, and each survivor that nobody has explained."""

import fnmatch
import textwrap
import tomllib
from collections import Counter
from pathlib import Path

from scripts.mutate import targets

EXPLAINED = Path(__file__).with_name("survivors.toml")
COLUMNS = ("mutants", "killed", "timeout", "explained", "survived", "not run")


def indented(diff: str) -> str:
    return textwrap.indent(diff, "    ")


def change(diff: str) -> str:
    """A mutant's name in survivors.toml: the lines that it has instead, or, where it only takes away, those."""
    lines = diff.splitlines()
    new = [line[1:].strip() for line in lines if line.startswith("+")]
    return " ".join(new) or " ".join("-" + line[1:].strip() for line in lines)


def explained(mutant) -> bool:
    entries = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))["equivalent"]
    return any(
        change(mutant.diff) in entry["changes"] and any(fnmatch.fnmatchcase(mutant.module, m) for m in entry["modules"])
        for entry in entries
    )


def fate(mutant, results: dict) -> str:
    wanted = targets.frameworks(mutant.module)
    seen = [results[mutant.key, each]["status"] for each in wanted if (mutant.key, each) in results]
    for status in ("killed", "timeout"):
        if status in seen:
            return status
    if len(seen) < len(wanted):
        return "not run"
    return "explained" if explained(mutant) else "survived"


def show(mutants: list, results: dict) -> int:
    """Print it; 1 if a mutant survived that survivors.toml does not explain."""
    fates = [(mutant, fate(mutant, results)) for mutant in mutants]
    for mutant, status in fates:
        if status == "survived":
            print(f"{mutant.module}:{mutant.line} survived\n{indented(mutant.diff)}")
    print(f"\n{'module':26}" + "".join(f"{column:>11}" for column in COLUMNS))
    for module in [*dict.fromkeys(mutant.module for mutant in mutants), "all"]:
        counts = Counter(status for mutant, status in fates if module in ("all", mutant.module))
        counts["mutants"] = counts.total()
        print(f"{module:26}" + "".join(f"{counts[column]:11}" for column in COLUMNS))
    return 1 if any(status == "survived" for _, status in fates) else 0
