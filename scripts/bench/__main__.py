"""How fast attnlib is and how much memory it takes, against the plainest code and the frameworks' own layers.

python -m scripts.bench                          everything, about a quarter of an hour
python -m scripts.bench --cases torch 4096       the cases whose name contains all of these words
python -m scripts.bench --quick                  tiny sizes, in seconds: does it all still run? The figures mean nothing
python -m scripts.bench --list                   the names of the cases
python -m scripts.bench --resume                 go on with a run that was interrupted
python -m scripts.bench --keep                   everything, into scripts/results/bench, which the book shows

Every case has a process of its own, in which all forms are timed in turn; its times are written as soon as they are
there. Tables are printed; they, the machine's description and a plot are written into _build/bench. A target that is
missed is reported, and no error; a case that cannot be run is one.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from scripts.bench import machine, report
from scripts.bench.results import Results
from tools.paths import BUILD, ROOT

RESULTS, KEPT = ROOT / "scripts" / "results" / "bench", ("measurements.csv", "counts.csv", "tables.md")
LENGTHS, QUICK = (256, 1024, 4096), (16,)
RACES = ("numpy attention", "torch attention", "torch multihead", "tensorflow attention", "keras multihead")
COUNTS = ("counts numpy", "counts torch", "counts tensorflow")
PIECES = ("pieces numpy", "pieces torch", "pieces tensorflow")
VALUES = ("decode numpy", "decode torch", "decode tensorflow", *COUNTS, *PIECES)
SHARES = {256: 1, 1024: 4, 4096: 8}  # of the time for a case


@dataclass(frozen=True)
class Case:
    suite: str
    length: int | None = None
    backward: bool = False

    @property
    def name(self):
        if self.length is None:
            return self.suite
        return f"{self.suite} {self.length} {'forward + backward' if self.backward else 'forward'}"

    @property
    def framework(self):
        words = set(self.suite.replace("keras", "tensorflow").split())
        return next((name for name in ("torch", "tensorflow") if name in words), "numpy")


def ask(its_cases, seconds, quick):
    """What a worker answers to each of the cases; raises RuntimeError with its last words when it fails."""
    asked = [
        {"module": case.suite.replace(" ", "_"), "length": case.length, "backward": case.backward}
        | {"seconds": seconds, "quick": quick}
        for case in its_cases
    ]
    command = [sys.executable, "-m", "scripts.bench.worker", json.dumps(asked)]
    # On the processor, whatever else there is; without TensorFlow's remarks on it, and with the settings of the book's
    # notebooks. (oneDNN keeps the memory that was freed for itself, so that nobody could see what a call takes.)
    settings = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    environment = os.environ | settings | {"CUDA_VISIBLE_DEVICES": "", "PYTHONUTF8": "1"}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=ROOT, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{', '.join(case.name for case in its_cases)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def cases(lengths):
    races = [Case(suite, n, backward) for suite in RACES for n in lengths for backward in (False, True)]
    # The longest is left to the Keras layer, which computes the same: a quarter of an hour is long enough.
    races = [case for case in races if (case.suite, case.length) != ("tensorflow attention", LENGTHS[-1])]
    return [*races, *map(Case, VALUES), Case("imports")]


def run(chosen, kept, *, minutes, quick, resume=False):
    """The results, and what went wrong: a process for each case; where time means nothing, one for each framework.

    kept: the folder where each answer is kept; with `resume` a case that has its answer there is not run again.
    """
    kept.mkdir(parents=True, exist_ok=True)
    shares = sum(SHARES.get(case.length, 0) for case in chosen) or 1
    groups = {}
    for case in chosen:
        groups.setdefault(case.framework if quick else case, []).append(case)
    results, failures = Results(), []
    for its_cases in groups.values():
        files = [kept / f"{case.name}.json" for case in its_cases]
        start = time.monotonic()
        seconds = 0 if quick else 60 * minutes * SHARES.get(its_cases[0].length, 0) / shares
        try:
            if resume and all(file.exists() for file in files):
                answers = [json.loads(file.read_text(encoding="utf-8")) for file in files]
            else:
                answers = ask(its_cases, seconds, quick)
        except RuntimeError as error:
            failures.append(str(error))
            continue
        for file, answer in zip(files, answers, strict=True):
            file.write_text(json.dumps(answer), encoding="utf-8")
        print(f"{time.monotonic() - start:7.1f} s  {', '.join(case.name for case in its_cases)}", file=sys.stderr)
        for case, answer in zip(its_cases, answers, strict=True):
            if case.length is None:
                results.values.update(answer)
            else:
                results.races[case.suite, case.length, case.backward] = answer
    return results, failures


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=[], metavar="WORD", help="only those whose name has all words")
    parser.add_argument("--quick", action="store_true", help="tiny sizes; the figures mean nothing")
    parser.add_argument("--minutes", type=float, default=2, help="of timing beyond the least (default 2)")
    parser.add_argument("--out", type=Path, default=BUILD / "bench", help="the folder for tables and plot")
    parser.add_argument("--keep", action="store_true", help="for the book: into scripts/results/bench as well")
    parser.add_argument("--resume", action="store_true", help="keep the cases that an interrupted run has measured")
    parser.add_argument("--list", action="store_true", help="the names of the cases")
    options = parser.parse_args(arguments)
    lengths = QUICK if options.quick else LENGTHS
    chosen = [case for case in cases(lengths) if all(word in case.name for word in options.cases)]
    if not chosen:
        parser.error(f"no case has {' and '.join(options.cases)} in its name: see --list")
    if options.keep and (options.cases or options.quick):
        parser.error("--keep is for a whole run")
    if options.list:
        print("\n".join(case.name for case in chosen))
        return 0
    results, failures = run(
        chosen, options.out / "cases", minutes=options.minutes, quick=options.quick, resume=options.resume
    )
    description = machine.describe()
    found = report.verdicts(results, lengths)
    report.write(results, found, options.out, description)
    if options.keep and not failures:
        for name in KEPT:
            shutil.copyfile(options.out / name, RESULTS / name)
    for lines in (report.measured(results, lengths), report.counted(results), report.judged(found), description):
        print("", *lines, sep="\n")
    print(f"Written: {options.out}")
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
