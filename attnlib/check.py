"""Does attnlib work here, and with which frameworks? One attention, computed by hand and by each of them.

python -m attnlib.check                    every framework, each in a process of its own
python -m attnlib.check numpy torch        some
"""

import importlib
import importlib.util
import math
import os
import subprocess
import sys

FRAMEWORKS = ("numpy", "torch", "tensorflow")

QUERY = [3.0, 0.0]
KEYS = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]
VALUES = [[10.0], [20.0], [30.0]]


def by_hand() -> float:
    """softmax(q·k / √d) · v in plain Python."""
    scores = [sum(q * k for q, k in zip(QUERY, key, strict=True)) / math.sqrt(len(QUERY)) for key in KEYS]
    total = sum(math.exp(score) for score in scores)
    return sum(math.exp(score) / total * value for score, [value] in zip(scores, VALUES, strict=True))


def by_framework(name: str) -> tuple[float, str]:
    """The same from attnlib with one framework, and the framework's version."""
    framework = importlib.import_module(name)
    attn = importlib.import_module(f"attnlib.{name}")
    make = {"numpy": "asarray", "torch": "tensor", "tensorflow": "constant"}[name]
    q, k, v = (getattr(framework, make)(numbers) for numbers in ([QUERY], KEYS, VALUES))
    return float(attn.scaled_dot_product_attention(q, k, v)[0, 0]), framework.__version__


def line(name: str) -> tuple[bool, str]:
    """Whether all is well with one framework, and what to say about it."""
    if importlib.util.find_spec(name) is None:
        return True, f"{name:<12}not installed"
    found, version = by_framework(name)
    wanted = by_hand()
    right = math.isclose(found, wanted, rel_tol=1e-5)
    verdict = f"{found:.4f}, as by hand" if right else f"WRONG: {found!r}, by hand {wanted!r}"
    return right, f"{name:<12}{version:<12}{verdict}"


def main(names: list[str]) -> int:
    unknown = set(names) - set(FRAMEWORKS)
    if unknown:
        print(f"no framework of the book: {', '.join(sorted(unknown))}; choose from {', '.join(FRAMEWORKS)}")
        return 2
    if len(names) == 1:
        right, text = line(names[0])
        print(text, flush=True)
        return 0 if right else 1
    # PyTorch and TensorFlow disturb each other in one process.
    command = [sys.executable, "-m", "attnlib.check"]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return max([subprocess.run([*command, name], env=quiet).returncode for name in names or FRAMEWORKS])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
