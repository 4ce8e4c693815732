"""Train the digits' vision transformer and its convolution in Keras, as `scripts/train_digits.py` does in PyTorch.

python -m scripts.train_digits_keras              all that is not yet in runs/digits_keras/results.json

The two scripts share budget, batches' size, schedule, optimiser and shifts; each framework draws its own numbers. What
is finished is added to `results.json` at once, with its settings and versions, and is not done again.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import argparse
import platform
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from attnlib.data import digits
from attnlib.models import vision_keras as vision
from scripts.result_files import read, record

MODELS = {"transformer": vision.vision_transformer, "convolution": vision.conv_net}


@dataclass(frozen=True)
class Settings:
    """All that a result depends on, besides the versions of what it is computed with."""

    model: str = "transformer"  # or "convolution"
    seed: int = 0
    steps: int = 800
    rate: float = 4e-3
    batch: int = 64
    decay: float = 0.05


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "results.json"
    done = {settings(result) for result in read(file)}
    wanted = [Settings(model, seed, options.steps) for seed in range(options.seeds) for model in MODELS]
    missing = [one for one in wanted if one not in done]
    for one in tqdm(missing, unit="training", mininterval=5, dynamic_ncols=True):
        record(run(one), file)
    return 0


def run(one: Settings) -> dict:
    """Train once; what was asked for, how right it is on the three parts, and with what it was computed."""
    began = time.process_time()
    train, valid, test = digits.split()
    keras.backend.clear_session()
    scale = {"mean": float(train.images.mean()), "variance": float(train.images.var())}
    model = MODELS[one.model](**scale, seed=one.seed)
    budget = {"steps": one.steps, "rate": one.rate, "batch": one.batch, "decay": one.decay, "seed": one.seed}
    vision.fit(model, *train, **budget)
    accuracy = {
        name: round(float(np.mean(np.argmax(model(part.images), axis=-1) == part.labels)), 5)
        for name, part in {"train": train, "valid": valid, "test": test}.items()
    }
    return asdict(one) | {
        "accuracy": accuracy,
        "parameters": sum(int(np.prod(w.shape)) for w in model.trainable_weights),
        "seconds": round(time.process_time() - began, 1),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in ("tensorflow", "keras")},
    }


def settings(result: dict) -> Settings:
    """What a result is of."""
    return Settings(**{name: result[name] for name in asdict(Settings())})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.train_digits_keras", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=8, help="trainings of each model (8)")
    parser.add_argument("--steps", type=int, default=800, help="of each training (800)")
    parser.add_argument("--out", type=Path, default=Path("runs/digits_keras"), help="where results go")
    return parser


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    sys.exit(main())
