"""Train vision transformers and their rivals on the handwritten digits, many more than a notebook has the time for.

python -m scripts.train_digits                              all that is not yet in runs/digits/results.json
python -m scripts.train_digits --only patch positions       some of the questions
python -m scripts.train_digits --list                       the questions, and how many trainings each has

A *question* is a table: what does the size of a patch change, the kind of positions, the number of heads, the number
of training images? Each of its rows is trained with several seeds. A training takes seconds, so that one that was cut
off is begun anew; what is finished is added to `results.json` at once, with its settings and versions, and is not done
again.
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

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from attnlib.data import digits
from attnlib.models.vision import POSITIONS, ConvNet, Scaled, Scrambled, VisionTransformer, shifted
from scripts.result_files import read, record


@dataclass(frozen=True)
class Settings:
    """All that a result depends on, besides the versions of what it is computed with."""

    model: str = "transformer"  # or "convolution", "logistic", "neighbours"
    seed: int = 0
    patch_size: int = 2
    num_heads: int = 4
    positions: str = "learned"
    position_std: float = 0.5  # of learned positions, at the start
    pool: str = "class"
    stem: int = 0  # channels of a convolution in front of the patches
    images: int = 1029  # to train on: all, or the first so many of a shuffled order
    scrambled: int = 0  # size of the squares that change places, the same way in every image; 0: as they are
    cut: str = "squares"  # or a mistake: "strips", what a reshape gives, or "lattice", rows and columns swapped
    steps: int = 800
    rate: float = 4e-3
    batch: int = 64
    decay: float = 0.05
    shift: int = 1  # pixels that a training image is moved at most


MAIN = Settings()
CONVOLUTION = replace(MAIN, model="convolution")
LOGISTIC = Settings(model="logistic", steps=0, batch=0, decay=0.0, rate=0.0, shift=0)
NEIGHBOURS = replace(LOGISTIC, model="neighbours")
CUTS = ("squares", "strips", "lattice")
SIZES = (64, 128, 256, 512, 1029)

QUESTIONS: dict[str, list[Settings]] = {
    "model": [MAIN, CONVOLUTION, LOGISTIC, NEIGHBOURS],
    "frameworks": [MAIN, CONVOLUTION],  # what scripts/train_digits_keras.py trains as well
    "patch": [replace(MAIN, patch_size=size) for size in (1, 2, 4)],
    "positions": [replace(MAIN, positions=kind) for kind in POSITIONS] + [replace(MAIN, position_std=0.02)],
    "heads": [replace(MAIN, num_heads=heads) for heads in (1, 2, 4, 8)],
    "cut": [replace(MAIN, cut=cut) for cut in CUTS],
    "stem": [replace(MAIN, stem=stem) for stem in (0, 16)],
    "pool": [replace(MAIN, pool=pool) for pool in ("class", "mean")],
    "shift": [replace(model, shift=shift) for model in (MAIN, CONVOLUTION) for shift in (0, 1)],
    "steps": [replace(model, steps=steps) for model in (MAIN, CONVOLUTION) for steps in (200, 800, 3200)],
    "order": [replace(model, scrambled=size) for model in (MAIN, CONVOLUTION) for size in (0, 1, 2)],
    "images": [replace(model, images=n) for model in (MAIN, CONVOLUTION, LOGISTIC, NEIGHBOURS) for n in SIZES],
}


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    questions = {name: QUESTIONS[name] for name in options.only}
    if options.list:
        for name, rows in questions.items():
            print(f"{name}: {len(rows)} rows, {len(rows) * options.seeds} trainings")
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "results.json"
    done = {settings(result) for result in read(file)}
    wanted = dict.fromkeys(
        replace(row, seed=seed) for rows in questions.values() for seed in range(options.seeds) for row in rows
    )
    missing = [one for one in wanted if one not in done]
    for one in tqdm(missing, unit="training", mininterval=5, dynamic_ncols=True):
        record(run(one), file)
    return 0


def run(one: Settings) -> dict:
    """Train once; what was asked for, how right it is on the three parts, and with what it was computed."""
    began = time.process_time()
    train, valid, test = digits.split()
    order = np.random.default_rng(one.seed).permutation(len(train.labels))
    train = digits.Digits(train.images[order[: one.images]], train.labels[order[: one.images]])
    answer = train_model(one, train) if one.steps else baseline(one, train)
    accuracy = {
        name: round(float(np.mean(answer(part.images) == part.labels)), 5)
        for name, part in {"train": train, "valid": valid, "test": test}.items()
    }
    return asdict(one) | {
        "accuracy": accuracy,
        "parameters": getattr(answer, "parameters", None),
        "seconds": round(time.process_time() - began, 1),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in ("torch", "scikit-learn")},
    }


def train_model(one: Settings, train: digits.Digits):
    """A trained network as a function from images to answers, `[n, 8, 8, 1] -> [n]`, in NumPy."""
    images, labels = torch.from_numpy(train.images.copy()), torch.from_numpy(train.labels.copy())
    torch.manual_seed(one.seed)  # for the convolution
    if one.model == "convolution":
        net = ConvNet()
    else:
        names = ("patch_size", "num_heads", "positions", "position_std", "pool", "stem", "seed")
        net = VisionTransformer(**{name: getattr(one, name) for name in names})
    if one.cut != "squares":
        net = torch.nn.Sequential(Cut(one.cut, one.patch_size), net)
    if one.scrambled:
        net = torch.nn.Sequential(Scrambled(8, one.scrambled, seed=one.seed), net)
    net = Scaled(net, images.mean(), images.std())
    fit(net, images, labels, one)

    @torch.no_grad()
    def answer(pictures: np.ndarray) -> np.ndarray:
        return net(torch.from_numpy(pictures.copy())).argmax(dim=-1).numpy()

    answer.parameters = sum(p.numel() for p in net.parameters())
    return answer


class Cut(torch.nn.Module):
    """Pixels moved so that the squares that the model cuts out hold what a wrong cut would have put into them."""

    def __init__(self, cut: str, patch_size: int, size: int = 8):
        super().__init__()
        side = size // patch_size
        pixels = torch.arange(size**2).view(size, size)
        if cut == "strips":  # images.reshape(b, patches, patch_size²): neighbours in a row
            patches = pixels.reshape(side, side, patch_size, patch_size)
        else:  # unflatten(-2, (patch_size, side)): one pixel of each corner of the picture
            patches = pixels.view(patch_size, side, patch_size, side).permute(1, 3, 0, 2)
        self.register_buffer("order", patches.transpose(1, 2).reshape(-1))

    def forward(self, images):
        return images.flatten(1, 2)[:, self.order].view_as(images)


def fit(net, images: torch.Tensor, labels: torch.Tensor, one: Settings) -> None:
    """AdamW on shuffled passes over the images, each moved at random; the rate rises for a twentieth, then falls."""
    draw = torch.Generator().manual_seed(one.seed)
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=one.decay, fused=True)
    passes = math.ceil(one.steps * one.batch / len(images))
    order = torch.cat([torch.randperm(len(images), generator=draw) for _ in range(passes)])
    for step in range(one.steps):
        optimiser.param_groups[0]["lr"] = one.rate * schedule(step / one.steps)
        some = order[step * one.batch : (step + 1) * one.batch]
        by = torch.randint(-one.shift, one.shift + 1, (len(some), 2), generator=draw)
        loss = F.cross_entropy(net(shifted(images[some], by)), labels[some])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def schedule(done: float) -> float:
    """Of the rate: up in a straight line for the first twentieth, then down to nothing along a cosine."""
    return done / 0.05 if done < 0.05 else (1 + math.cos(math.pi * (done - 0.05) / 0.95)) / 2


def baseline(one: Settings, train: digits.Digits):
    """Logistic regression on the pixels, or the nearest neighbour among the training images and their shifts."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    images, labels = train
    if one.model == "logistic":
        model = LogisticRegression(C=1.0, max_iter=3000)
    else:
        model, (images, labels) = KNeighborsClassifier(1), moved(images, labels)
    model.fit(images.reshape(len(images), -1), labels)
    return lambda pictures: model.predict(pictures.reshape(len(pictures), -1))


def moved(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each image nine times: where it is, and a pixel towards each side and corner."""
    nine = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]
    pictures = torch.from_numpy(images.copy())
    copies = [shifted(pictures, torch.tensor([by] * len(pictures))).numpy() for by in nine]
    return np.concatenate(copies), np.tile(labels, len(nine))


def settings(result: dict) -> Settings:
    """What a result is of."""
    return Settings(**{name: result[name] for name in asdict(MAIN) if name in result})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.train_digits", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(QUESTIONS), default=list(QUESTIONS), help="questions")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each row (3)")
    parser.add_argument("--out", type=Path, default=Path("runs/digits"), help="where results go (runs/digits)")
    parser.add_argument("--threads", type=int, default=1, help="of the process (1)")
    parser.add_argument("--list", action="store_true", help="say what would be trained")
    return parser


if __name__ == "__main__":
    sys.exit(main())
