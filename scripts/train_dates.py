"""Train transformers and a recurrent rival to write dates in ISO 8601, more often than a notebook has the time for.

python -m scripts.train_dates                       all that is not yet in runs/dates/results.json
python -m scripts.train_dates --only rival norm     some of the questions
python -m scripts.train_dates --list                the questions, and how many trainings each has

A *question* is a table, and each of its rows is trained with several seeds. A training takes seconds, so that one that
was cut off is begun anew; what is finished is added to `results.json` at once, and is not done again.
"""

import argparse
import math
import platform
import sys
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from attnlib.data.dates import Vocabulary, make_dates, split
from attnlib.models.seq2seq import Seq2Seq
from attnlib.models.transformer import Transformer
from scripts.result_files import read, record

CODES = ("de", "en_US", "es", "fi", "fr", "tr")
FORMATS = ("long", "medium", "casual")
EXAMPLES = 12_000
ASKED = 1000  # dates to choose with, and as many to test on
START, END = Vocabulary.START, 14  # 3 to 13 are the characters of an answer


@dataclass(frozen=True)
class Settings:
    """All that a result depends on, besides the versions of what it is computed with."""

    model: str = "transformer"  # or "recurrent", with global attention
    seed: int = 0
    positions: str = "sinusoidal"
    norm: str = "pre"
    depth: int = 2
    steps: int = 300
    batch: int = 32
    rate: float = 0.012  # the highest; chosen on the dates for that
    warm_up: float = 0.1  # share of the steps in which the rate rises


MAIN = Settings()
RECURRENT = Settings(model="recurrent", positions="none", norm="none", depth=1)
ROTARY = replace(MAIN, positions="rotary", rate=0.024)
RIVALS = (RECURRENT, MAIN, ROTARY)
RATES = (0.006, 0.012, 0.024, 0.048)

QUESTIONS: dict[str, list[Settings]] = {
    "rate": [replace(model, rate=rate, seed=9) for model in RIVALS for rate in RATES],
    "rival": [replace(model, steps=steps) for steps in (300, 1200) for model in RIVALS],
    "swapped": [replace(MAIN, rate=ROTARY.rate), replace(ROTARY, rate=MAIN.rate)],
    "batch": [replace(model, batch=batch) for batch in (32, 128) for model in RIVALS],
    "norm": [
        replace(MAIN, norm=norm, warm_up=warm_up, rate=rate)
        for rate in (MAIN.rate, MAIN.rate / 2)
        for norm in ("pre", "post")
        for warm_up in (0.1, 0.0)
    ],
}


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    if options.list:
        for name in options.only:
            print(f"{name}: {len(QUESTIONS[name])} rows, {len(wanted([name], options.seeds))} trainings")
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "results.json"
    done = {settings(result) for result in read(file)}
    missing = [one for one in wanted(options.only, options.seeds) if one not in done]
    for one in tqdm(missing, unit="training", mininterval=5, dynamic_ncols=True):
        record(run(one), file)
    return 0


def wanted(questions, seeds: int) -> list[Settings]:
    """Each row with each seed, once; the rates are tried with a seed of their own that nothing else has."""
    rows = [(one, name == "rate") for name in questions for one in QUESTIONS[name]]
    every = [[one] if fixed else [replace(one, seed=seed) for seed in range(seeds)] for one, fixed in rows]
    return list(dict.fromkeys(one for found in every for one in found))


def data() -> tuple[dict[str, tuple[torch.Tensor, ...]], int]:
    """The three parts as (texts, lengths, answers), and how many numbers a text may hold. Always the same."""
    parts = split(make_dates(EXAMPLES, seed=0, locales=CODES, formats=FORMATS))
    read, write = Vocabulary(one.text for one in parts[0]), Vocabulary(["-0123456789"])
    parts = parts[0], parts[1][:ASKED], parts[2][:ASKED]
    longest = max(len(one.text) for part in parts for one in part)
    encoded = {}
    for name, part in zip(("train", "valid", "test"), parts, strict=True):
        source, lengths = map(torch.from_numpy, read.encode([one.text for one in part], longest))
        target = torch.from_numpy(write.encode([one.iso for one in part])[0]).long()
        encoded[name] = source, lengths.long(), F.pad(target, (0, 1), value=END)
    return encoded, len(read)


def make(one: Settings, source_size: int) -> nn.Module:
    """The untrained model. Both kinds have about as many parameters at a depth of 2."""
    torch.manual_seed(one.seed)
    if one.model == "recurrent":
        return Seq2Seq(source_size, END + 1, "global", units=60, width=30)
    return Transformer(source_size, END + 1, depth=one.depth, norm=one.norm, positions=one.positions)


def run(one: Settings) -> dict:
    """Train once; what was asked for, the share of dates that are right in every character, and with what."""
    began = time.process_time()
    parts, size = data()
    model = make(one, size)
    losses = fit(model, parts["train"], one)
    model.eval()
    return asdict(one) | {
        "loss": round(sum(losses[-20:]) / len(losses[-20:]), 5),
        "exact": {name: round(exact(model, parts[name]), 5) for name in ("valid", "test")},
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(time.process_time() - began, 1),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in ("torch", "babel")},
    }


def fit(model: nn.Module, train: tuple[torch.Tensor, ...], one: Settings) -> list[float]:
    """Adam on random batches, the same ones for every model; the gradient's norm is held at 1 or below."""
    draw = torch.Generator().manual_seed(one.seed)
    optimiser = torch.optim.Adam(model.parameters())
    losses = []
    for step in range(one.steps):
        optimiser.param_groups[0]["lr"] = one.rate * schedule(step / one.steps, one.warm_up)
        some = torch.randint(len(train[0]), (one.batch,), generator=draw)
        source, lengths, target = (part[some] for part in train)
        source = source[:, : lengths.max()]
        logits = model(source, lengths, F.pad(target[:, :-1], (1, 0), value=START))
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    return losses


def schedule(done: float, warm_up: float) -> float:
    """Of the rate: up in a straight line for a share of the steps, under a cosine that falls to nothing."""
    rising = 1.0 if warm_up == 0 else done / warm_up
    return min(rising, (1 + math.cos(math.pi * done)) / 2)


def exact(model: nn.Module, part: tuple[torch.Tensor, ...]) -> float:
    """The share of answers, written freely and greedily, that are right in every character and end where they must."""
    source, lengths, target = part
    written = model.greedy(source, lengths, start=START, end=END, max_len=target.shape[1])
    written = written[0] if isinstance(written, tuple) else written  # the recurrent model returns weights as well
    written = F.pad(written, (0, target.shape[1] - written.shape[1]))
    return (written == target).all(dim=1).double().mean().item()


def settings(result: dict) -> Settings:
    """What a result is of."""
    return Settings(**{name: result[name] for name in asdict(MAIN)})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.train_dates", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(QUESTIONS), default=list(QUESTIONS), help="questions")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each row (3)")
    parser.add_argument("--out", type=Path, default=Path("runs/dates"), help="where results go (runs/dates)")
    parser.add_argument("--threads", type=int, default=1, help="of the process (1)")
    parser.add_argument("--list", action="store_true", help="say what would be trained")
    return parser


if __name__ == "__main__":
    sys.exit(main())
