"""Train models from spelling to sound on the whole CMU dictionary, which no notebook has the time for.

python -m scripts.train_cmudict --kind global --seed 0 --epochs 4 --out runs/cmudict
python -m scripts.train_cmudict --kind none additive global local-m local-p --seed 0 1 2      one after the other
torchrun --nproc-per-node 2 -m scripts.train_cmudict --kind global                            on two processes

Each run has its own file in --out, `global-0.pt`, written after every --save-every steps and at its end. Started again
with the same settings, a run goes on where that file stands, and ends with the same parameters as one that was never
interrupted. What is finished is added to `results.json`, with the settings, the versions and the time it took.

With torchrun every process computes its share of each batch, and the gradients are added up: the batches, and with
them the result up to rounding, are those of one process.
"""

import argparse
import io
import math
import os
import platform
import random
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from attnlib.data.pronunciations import (
    LETTERS,
    PHONEMES,
    Pronunciation,
    Symbols,
    Words,
    error_rates,
    load,
    pairs,
    split,
    subset,
)
from attnlib.models.seq2seq import KINDS, Seq2Seq
from scripts.result_files import read, write_bytes, write_json

READ, WRITE = Symbols(LETTERS), Symbols(PHONEMES)
LENGTHS = ((1, 5), (6, 8), (9, 11), (12, 20))  # of words, in letters, that are also judged apart
LONGEST = 24  # phonemes written at most: no training word of up to 20 letters has more


@dataclass(frozen=True)
class Settings:
    """All that a result depends on, besides the versions of what it is computed with."""

    kind: str = "global"
    seed: int = 0
    epochs: int = 4
    units: int = 128
    width: int = 64
    half_width: int = 3
    batch: int = 128
    rate: float = 3e-3
    clip: float = 1.0
    words: int = 0  # 0: all
    max_len: int = 20


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if "RANK" in os.environ:  # started by torchrun
        dist.init_process_group("gloo")
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    parts = data(options.words, options.max_len)
    names = [name for name in Settings.__dataclass_fields__ if name not in ("kind", "seed")]
    shared = Settings(**{name: getattr(options, name) for name in names})
    for seed in options.seed:
        for kind in options.kind:
            settings = replace(shared, kind=kind, seed=seed)
            run(settings, parts, options.out, save_every=options.save_every, stop_after=options.stop_after)
    if dist.is_initialized():
        dist.destroy_process_group()
    return 0


def data(words: int, max_len: int) -> tuple[Words, Words, Words]:
    """Words to train on, to watch and to test on; the longest, a handful, are left out of all three."""
    known = load(max_len)
    return split(subset(known, words) if words else known)


def batches(train: list, settings: Settings, epoch: int) -> list[list]:
    """The batches of an epoch: of words of one length, the shuffled order that of seed and epoch alone.

    Words of one length need no padding to read and little to write. Shuffled before they are sorted, which keeps
    the order of what is as long, so that batches differ from epoch to epoch.
    """
    draw = random.Random(f"{settings.seed} {epoch}")
    order = list(train)
    draw.shuffle(order)
    order.sort(key=lambda pair: (len(pair[0]), len(pair[1])))
    chunks = [order[i : i + settings.batch] for i in range(0, len(order), settings.batch)]
    draw.shuffle(chunks)
    return chunks


def run(settings: Settings, parts, out: Path, *, save_every: int = 200, stop_after: int | None = None) -> dict | None:
    """Train one model, or go on with it; its results, or None if it was stopped after so many steps in all."""
    name = f"{settings.kind}-{settings.seed}"
    file, main_process = out / f"{name}.pt", not dist.is_initialized() or dist.get_rank() == 0
    torch.manual_seed(settings.seed)
    torch.use_deterministic_algorithms(True)
    model = Seq2Seq(
        len(READ),
        len(WRITE),
        settings.kind,
        units=settings.units,
        width=settings.width,
        half_width=settings.half_width,
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.rate)
    step, seconds = _restore(file, settings, model, optimiser)
    trained = DistributedDataParallel(model) if dist.is_initialized() else model
    train, valid, test = parts
    train = pairs(train)
    per_epoch = math.ceil(len(train) / settings.batch)
    total = settings.epochs * per_epoch
    scheduled = {"total": total, "initial": step, "desc": name, "unit": "step", "disable": not main_process}
    progress = tqdm(**scheduled, mininterval=5, dynamic_ncols=True)
    log = _Log(out / "log.txt", progress, main_process)
    if step == 0:
        log(f"{name}: {sum(p.numel() for p in model.parameters()):,} parameters, {total} steps of {settings.batch}")
    began, chunks = time.perf_counter(), None
    while step < total:
        epoch, at = divmod(step, per_epoch)
        if chunks is None or at == 0:
            chunks = batches(train, settings, epoch)
        optimiser.param_groups[0]["lr"] = settings.rate * schedule(step / total)
        loss = update(trained, optimiser, chunks[at], settings.clip)
        step += 1
        progress.update()
        progress.set_postfix(loss=f"{loss:.3f}", refresh=False)
        stopped = stop_after is not None and step >= stop_after
        if main_process and (step % save_every == 0 or stopped or step == total):
            _save(file, settings, model, optimiser, step, seconds + time.perf_counter() - began)
        if step % per_epoch == 0 and main_process:
            per, wer = error_rates(write(model, valid), valid)
            log(f"{name}: epoch {epoch + 1}, loss {loss:.3f}, valid PER {per:.4f}, WER {wer:.4f}")
        if stopped and step < total:
            progress.close()
            return None
    progress.close()
    if not main_process:
        return None
    seconds += time.perf_counter() - began
    written = write(model, test)
    per, wer = error_rates(written, test)
    by_length = {}
    for low, high in LENGTHS:
        some = {word: spoken for word, spoken in test.items() if low <= len(word) <= high}
        if some:
            by_length[f"{low} to {high}"] = [round(rate, 5) for rate in error_rates(written, some)]
    log(f"{name}: test PER {per:.4f}, WER {wer:.4f}")
    result = asdict(settings) | {
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": total,
        "train_pairs": len(train),
        "test_words": len(test),
        "per": round(per, 5),
        "wer": round(wer, 5),
        "by_length": by_length,
        "seconds": round(seconds),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in ("torch", "cmudict")},
    }
    record(result, out / "results.json")
    return result


def update(model, optimiser, chunk: list, clip: float) -> float:
    """One step down the mean loss of a phoneme, over the whole batch whatever the number of processes."""
    world, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
    mine = chunk[rank::world]
    source, lengths, target = tensors(mine or chunk[:1])
    previous = F.pad(target[:, :-1], (1, 0), value=Symbols.START)
    logits = model(source, lengths, previous)
    losses = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=Symbols.PAD, reduction="sum")
    written = sum(len(spoken) + 1 for _, spoken in chunk)
    share = losses * bool(mine) / written  # a process without an example takes part with a loss of zero
    optimiser.zero_grad()
    (share * world).backward()  # DistributedDataParallel divides by the number of processes
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimiser.step()
    return share.item()


def schedule(done: float) -> float:
    """Of the rate: up in a straight line for the first twentieth, then down to nothing along a cosine."""
    return done / 0.05 if done < 0.05 else (1 + math.cos(math.pi * (done - 0.05) / 0.95)) / 2


def tensors(chunk: list) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    source, lengths = READ.encode(word for word, _ in chunk)
    target, _ = WRITE.encode((spoken for _, spoken in chunk), end=True)
    return torch.from_numpy(source), torch.from_numpy(lengths), torch.from_numpy(target)


def write(model: Seq2Seq, words: Iterable[str], batch: int = 512) -> dict[str, Pronunciation]:
    """What greedy decoding writes for each word."""
    written, order = {}, sorted(words, key=len)
    for i in range(0, len(order), batch):
        chunk = order[i : i + batch]
        source, lengths = map(torch.from_numpy, READ.encode(chunk))
        numbers, _ = model.greedy(source, lengths, start=Symbols.START, end=Symbols.END, max_len=LONGEST)
        written |= zip(chunk, WRITE.decode(numbers.numpy()), strict=True)
    return written


def record(result: dict, file: Path) -> None:
    """Add a result to those of the same file; one of the same kind and seed is replaced."""
    kept = [old for old in read(file) if (old["kind"], old["seed"]) != (result["kind"], result["seed"])]
    kept = sorted([*kept, result], key=lambda one: (one["seed"], KINDS.index(one["kind"])))
    write_json(file, kept)


def _restore(file: Path, settings: Settings, model, optimiser) -> tuple[int, float]:
    if not file.exists():
        return 0, 0.0
    kept = torch.load(file, weights_only=True)
    if kept["settings"] != asdict(settings):
        raise ValueError(f"{file} is of other settings, {kept['settings']}: give another --out, or delete it")
    model.load_state_dict(kept["model"])
    optimiser.load_state_dict(kept["optimiser"])
    return kept["step"], kept["seconds"]


def _save(file: Path, settings: Settings, model, optimiser, step: int, seconds: float) -> None:
    state = {"settings": asdict(settings), "step": step, "seconds": seconds}
    state |= {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_bytes(file, buffer.getvalue())


class _Log:
    """Lines for the file and, above the progress bar, for whoever watches."""

    def __init__(self, file: Path, progress: tqdm, main_process: bool) -> None:
        self.file, self.progress, self.main_process = file, progress, main_process

    def __call__(self, line: str) -> None:
        if self.main_process:
            self.progress.write(line, file=sys.stderr)
            with self.file.open("a", encoding="utf-8") as log:
                log.write(line + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.train_cmudict", description=__doc__.splitlines()[0])
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=["global"], help="of attention")
    parser.add_argument("--seed", nargs="+", type=int, default=[0])
    defaults = Settings()
    for name, what in {
        "epochs": "passes over the training words",
        "units": "width of the states",
        "width": "of the embeddings",
        "half_width": "D of the local windows",
        "batch": "words a step, over all processes",
        "rate": "the highest learning rate",
        "clip": "longest gradient",
        "words": "take so many words instead of all",
        "max_len": "longest word, in letters",
    }.items():
        value = getattr(defaults, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"{what} ({value})")
    parser.add_argument("--out", type=Path, default=Path("runs/cmudict"), help="where files go (runs/cmudict)")
    parser.add_argument("--save-every", type=int, default=200, help="steps between two checkpoints (200)")
    parser.add_argument("--stop-after", type=int, help="end each run after so many steps, as if interrupted")
    parser.add_argument("--threads", type=int, default=1, help="of each process (1)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
