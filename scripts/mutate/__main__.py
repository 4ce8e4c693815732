"""A survey by mutation: attnlib is changed in one small place at a time, and its tests must notice.

python -m scripts.mutate                            every module (hours)
python -m scripts.mutate numpy/softmax 'torch/*'    some
python -m scripts.mutate --sample 0.1 --seed 3      a tenth of each module's mutants, drawn at random
python -m scripts.mutate --again                    once more what survived, after writing a test
python -m scripts.mutate --report                   only the table of what has been run

What has been run is kept in _build/mutate, so that a run that was interrupted goes on where it was, and a changed
module is surveyed anew. Mutants that no test can notice are written down, with the reason, in survivors.toml. POSIX
only: each mutant is tested in a fork of a process that has imported the framework.

What the first survey found, `--sample 0.2 --seed 0` in November 2026, with NumPy's tests:

                          mutants  sample  survived  then killed  explained
    numpy: backward           572     115         7            6          1
    numpy: blocks             273      55         2            1          1
    numpy: cache               93      19         2            0          2
    numpy: dense               99      20         4            3          1
    numpy: feed_forward        96      20         0            0          0
    numpy: layers             217      44         2            2          0
    numpy: the other nine             448        22           20          2

`_checks` was sampled as well (278), and PyTorch's modules from `_autocast` to `monitor`; their survivors led to tests
or are explained in survivors.toml. Of PyTorch's others, `--sample 0.08 --seed 1` tested 193; six survived, of which
three are killed now and three explained. Of TensorFlow's, `--sample 0.06 --seed 1` tested 305; 17 survived, of which
nine are killed now, three were in lines that nothing needed and are gone, and five are explained.

Worth knowing: a mask with holes, given to a Keras layer by hand, was never tried; the bias of a test for tiles was the
same for all keys, which softmax does not see; nothing told impl="tiled" from the explicit form; and five survivors
were the survey's own, which left out tests that concern `backward` and `patches`.
"""

import argparse
import fnmatch
import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

from scripts.mutate import report, targets
from scripts.mutate.targets import FRAMEWORKS
from tools.paths import BUILD, ROOT

WORK = BUILD / "mutate"
TOOLS = WORK / "tools"
RESULTS = WORK / "results.jsonl"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def install_tools() -> None:
    """Into a folder of their own: nothing is added to the environment, whose packages are pinned."""
    stamp, wanted = WORK / "installed-from", REQUIREMENTS.read_text(encoding="utf-8")
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--upgrade"]
        subprocess.run([*pip, "--no-deps", "--target", str(TOOLS), "-r", str(REQUIREMENTS)], check=True)
        stamp.write_text(wanted, encoding="utf-8")


def chosen_mutants(options: argparse.Namespace) -> list:
    from scripts.mutate.mutants import mutants

    chosen = []
    for module in targets.modules():
        if any(fnmatch.fnmatchcase(module, pattern) for pattern in options.modules):
            found = mutants(module, targets.source(module).read_text(encoding="utf-8"))
            size = math.ceil(options.sample * len(found))
            chosen += random.Random(f"{options.seed} {module}").sample(found, size) if size < len(found) else found
    return chosen


def recorded() -> dict[tuple[str, str], dict]:
    """Results by mutant and framework; the later one counts."""
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    return {(entry["key"], entry["framework"]): entry for entry in map(json.loads, lines)}


def pending(mutants: list, framework: str, *, again: bool) -> list:
    """What this framework's tests have to look at: what it has not seen, and no framework has killed."""
    results = recorded()
    wanted = []
    for mutant in mutants:
        seen = {each: results[mutant.key, each]["status"] for each in FRAMEWORKS if (mutant.key, each) in results}
        alive = all(status == "survived" for status in seen.values())
        if framework in targets.frameworks(mutant.module) and alive and (again or framework not in seen):
            wanted.append(mutant)
    return wanted


def survey(mutants: list, framework: str, *, again: bool) -> None:
    """In this process, which is forked for each mutant."""
    from scripts.mutate import fork

    wanted = pending(mutants, framework, again=again)
    if not wanted:
        return
    fork.warm_up(framework)
    work = WORK / framework
    for module in dict.fromkeys(mutant.module for mutant in wanted):
        whole = fork.run(module, targets.source(module).read_text(encoding="utf-8"), framework, work, limit=600)
        if whole.status != "survived":
            raise SystemExit(f"error: {module}: without any change, {framework}: {whole}; see {work / 'output.txt'}")
        its = [mutant for mutant in wanted if mutant.module == module]
        print(f"{module}, tests of {framework}: {len(its)} mutants, {whole.seconds:.1f} s unchanged", flush=True)
        for mutant in its:
            outcome = fork.run(module, mutant.source, framework, work, limit=10 + 4 * whole.seconds)
            entry = {"key": mutant.key, "framework": framework, "module": module} | vars(outcome)
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            if outcome.status == "survived":
                print(f"  survived: line {mutant.line}\n{report.indented(mutant.diff)}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.mutate", description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", default=["*"], help="such as numpy/softmax, torch/*")
    parser.add_argument("--sample", type=float, default=1.0, help="the share of each module's mutants")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--again", action="store_true", help="test again what survived")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--framework", choices=FRAMEWORKS, help="with the tests of this one alone")
    options = parser.parse_args(arguments)
    if not hasattr(os, "fork"):
        parser.error("this system cannot fork; try it under Linux")
    WORK.mkdir(parents=True, exist_ok=True)
    install_tools()
    sys.path.append(str(TOOLS))
    mutants = chosen_mutants(options)
    if not mutants:
        parser.error(f"no module is called {' or '.join(options.modules)}; there are {', '.join(targets.modules())}")
    if not options.report and options.framework:
        survey(mutants, options.framework, again=options.again)
        return 0
    for framework in FRAMEWORKS:
        if not options.report:
            # PyTorch and TensorFlow disturb each other in one process.
            again = [sys.executable, "-m", "scripts.mutate", *(arguments or sys.argv[1:]), "--framework", framework]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
            if subprocess.run(again, cwd=ROOT, env=environment).returncode:
                return 1
    return report.show(mutants, recorded())


if __name__ == "__main__":
    sys.exit(main())
