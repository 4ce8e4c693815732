"""Does a look at the data predict which attention wins? The sweep behind the chapter that asks it.

python -m scripts.choose                    first the predictions, then all runs that are not yet in runs/choose
python -m scripts.choose --part 0/2         half of the runs, beside another process that makes --part 1/2
python -m scripts.choose --after            then local-p on dates with the rate that was not chosen, the same seeds
python -m scripts.choose --collect FILE     all that was written, as one file: what attnlib/data/choose_results.json is
python -m scripts.choose --list             how many runs there are

Each run is one of `attnlib/models/one_run.ipynb` by papermill, as a reader would make it: its settings go in by the
cell tagged `parameters`, and the last cell prints the result. First every task and kind of attention is trained with
each learning rate and the seed TRIAL, and judged on the examples for choosing; then with the better rate and five
other seeds, and judged on the test. Every result is added to its file at once, and what is there is not run again.

The predictions are written before the first run, and are never written over.
"""

import argparse
import json
import logging
import sys
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import papermill
from tqdm import tqdm

from attnlib import diagnose
from attnlib.data import tasks
from scripts.result_files import read, write_json

KINDS = ("none", "global", "local-m", "local-p")
STEPS = {"sounds": 200, "year_first": 150, "day_first": 150, "language": 80}
RATES = (0.01, 0.02)
TRIAL = 100
SEEDS = (0, 1, 2, 3, 4)
N = 8000
AFTER = {"year_first": 0.01, "day_first": 0.01}  # added when the results were known: task -> rate


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    trials = [settings(task, kind, TRIAL, rate, "valid") for task in STEPS for kind in KINDS for rate in RATES]
    if options.list:
        print(f"{len(trials)} trials and {len(STEPS) * len(KINDS) * len(SEEDS)} runs")
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    if options.collect:
        write_json(options.collect, collected(options.out))
        return 0
    predictions = options.out / "predictions.json"
    if not predictions.exists():
        write_json(predictions, {"finished": now(), "chosen": {task: predict(task) for task in STEPS}})
    if options.after:
        for task, rate in AFTER.items():
            file = options.out / f"after-{task}.json"
            if not file.exists():
                wanted = [settings(task, "local-p", seed, rate, "test") for seed in SEEDS]
                write_json(file, [run(one) | {"finished": now()} for one in wanted])
        return 0
    number, of = options.part
    mine = [(task, kind) for task in STEPS for kind in KINDS][number::of]
    file = options.out / f"runs-{number}-{of}.json"
    results = read(file)

    def result_of(wanted: dict) -> dict:
        for done in results:
            if all(done[name] == value for name, value in wanted.items()):
                return done
        results.append(run(wanted) | {"finished": now()})
        write_json(file, results)
        return results[-1]

    for task, kind in tqdm(mine, unit="model", mininterval=5, dynamic_ncols=True):
        tried = [result_of(one) for one in trials if (one["task"], one["kind"]) == (task, kind)]
        best = min(tried, key=lambda result: result["error"])["rate"]
        for seed in SEEDS:
            result_of(settings(task, kind, seed, best, "test"))
    return 0


def collected(folder: Path) -> dict:
    """The predictions and all runs of all parts, in the order of the tables."""
    found = [one for file in folder.glob("runs-*.json") for one in read(file)]
    found.sort(key=lambda run: (list(STEPS).index(run["task"]), KINDS.index(run["kind"]), run["part"], run["seed"]))
    predictions = json.loads((folder / "predictions.json").read_text(encoding="utf-8"))
    after = [one for task in AFTER for one in read(folder / f"after-{task}.json")]
    return {"predictions": predictions, "runs": found, "after": after}


def settings(task: str, kind: str, seed: int, rate: float, part: str) -> dict:
    return {"task": task, "kind": kind, "seed": seed, "rate": rate, "steps": STEPS[task], "n": N, "part": part}


def predict(task: str) -> str:
    """What `attnlib.diagnose` says of the examples to train on."""
    data = tasks.load(task, N)
    source, lengths, target = tasks.encode(data, data.train, end=False)
    weights = diagnose.align(source, lengths, target).posterior(source, lengths, target)
    steps = (target > 0).sum(axis=1).mean()
    return diagnose.choose(steps, diagnose.in_window(weights, 3), diagnose.in_order(weights))


def run(wanted: dict) -> dict:
    """One run of the notebook; ValueError if it did not do what was asked, as with a misspelled parameter."""
    logging.getLogger("papermill").setLevel(logging.ERROR)  # it only warns of a parameter that does not exist
    notebook = papermill.execute_notebook(
        str(files("attnlib.models").joinpath("one_run.ipynb")), None, parameters=wanted, progress_bar=False
    )
    result = json.loads(notebook.cells[-1].outputs[0].text)
    if any(result.get(name) != value for name, value in wanted.items()):
        raise ValueError(f"the run must have the settings that were asked for, {wanted}: got {result}")
    return result


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _part(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    return int(number), int(of)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.choose", description=__doc__.splitlines()[0])
    parser.add_argument("--part", type=_part, default=(0, 1), metavar="I/N", help="the I-th of N shares (0/1)")
    parser.add_argument("--out", type=Path, default=Path("runs/choose"), help="where results go (runs/choose)")
    parser.add_argument("--collect", type=Path, metavar="FILE", help="write what there is into one file")
    parser.add_argument("--after", action="store_true", help="make the runs that were added when the sweep was over")
    parser.add_argument("--list", action="store_true", help="say what would be run")
    return parser


if __name__ == "__main__":
    sys.exit(main())
