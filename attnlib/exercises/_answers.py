"""How a check answers: what the checks of every chapter are written with.

    @exercise
    def check_scores(answer):
        q, k = ...                                      # small inputs, every size different
        got = run(answer, q, k)                         # the learner's function, on copies
        require_shape(got, (3, 4), "the scores")
        require(not same_values(got, mistake), "…")     # a typical mistake, named
        same(got, q @ k.T, "the scores", hint="score i, j is query i times key j.")
        return "every score is the dot product of one query and one key."

PyTorch and TensorFlow tensors are read like arrays; neither framework is imported here.
"""

import functools
import linecache
import re
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np


class NotYet(Exception):  # noqa: N818 - nothing is wrong with the program, the learner is on the way
    """Ends a check; its text is what the learner reads after `Not yet: `."""


def exercise(check: Callable[..., str]) -> Callable[..., bool | None]:
    """Let `check` speak: print `Correct: ` and the sentence it returns, or `Not yet: ` and what it requires.

    The wrapped check returns True for a right answer and None otherwise, so that a cell that ends in a call
    shows the message and nothing else. An answer that is still `...` or None never reaches `check`.
    """

    @functools.wraps(check)
    def checked(*answers: Any, **named: Any) -> bool | None:
        try:
            written = not any(map(_is_stub, (*answers, *named.values())))
            require(written, "there is nothing to check here: replace the `...` with your answer.")
            sentence = check(*answers, **named)
        except NotYet as problem:
            print(f"Not yet: {problem}")
            return None
        print(f"Correct: {sentence}")
        return True

    return checked


def require(condition: Any, message: str) -> None:
    """Go on if `condition` holds, else end the check with `Not yet: message`."""
    if not condition:
        raise NotYet(message.strip())


def run(answer: Callable, *args: Any, **kwargs: Any) -> Any:
    """What the learner's function or layer returns for copies of the arguments.

    Copies, so that an answer which writes into its input cannot spoil what it is compared with. An exception
    is told to the learner with the line of theirs that led to it.
    """
    require(callable(answer), f"a function is expected here, not {_described(answer)}.")
    try:
        got = answer(*map(_copied, args), **{name: _copied(value) for name, value in kwargs.items()})
    except Exception as error:
        raise NotYet(f"your code raised {type(error).__name__}: {_gist(error)}{_where(error, answer)}") from None
    require(not _is_stub(got), "your function returned nothing: replace the `...`, and end with `return`.")
    return got


def unpack(got: Any, *names: str) -> tuple:
    """The parts of a result that must be a tuple: `output, weights = unpack(got, "output", "weights")`."""
    right = isinstance(got, tuple | list) and len(got) == len(names)
    require(right, f"return {len(names)} values, `{', '.join(names)}`, not {_described(got)}.")
    return tuple(got)


def require_shape(got: Any, shape: tuple[int, ...], name: str = "the result", *, hint: str = "") -> None:
    """End the check, naming both shapes, unless `got` has this one."""
    came = as_array(got, name).shape
    require(came == tuple(shape), f"{name}: the shape is {came}, it must be {tuple(shape)}. {hint}")


def same(got: Any, expected: Any, name: str = "the result", *, hint: str = "", tolerance: float = 1e-4) -> None:
    """End the check unless `got` has the shape and the values of `expected`; `hint` says where to look.

    The shape comes first. Two numbers are the same within `tolerance`, relative to numbers larger than 1.
    """
    got, expected = as_array(got, name), as_array(expected, "expected")
    require_shape(got, expected.shape, name, hint=hint)
    if expected.dtype == bool:
        require(got.dtype == bool, f"{name}: True and False are expected, not {got.dtype}. {hint}")
    expected = expected + 0  # booleans as integers, which have a difference
    require(np.isnan(expected).any() or not np.isnan(got).any(), f"{name}: there is a NaN in it. {hint}")
    wrong = np.argwhere(~np.isclose(got, expected, rtol=tolerance, atol=tolerance, equal_nan=True))
    if len(wrong):
        at = tuple(map(int, wrong[0]))
        place = f" at {list(at)}" if at else ""
        require(False, f"{name}: found {got[at]:.6g}{place}, expected {expected[at]:.6g}. {hint}")


def same_values(got: Any, other: Any, *, tolerance: float = 1e-4) -> bool:
    """Whether `got` is what a typical mistake gives: `require(not same_values(got, mistake), "…")`."""
    try:
        same(got, other, tolerance=tolerance)
    except NotYet:
        return False
    return True


def as_array(value: Any, name: str = "the result") -> np.ndarray:
    """An array, a nested list, a PyTorch or a TensorFlow tensor as a NumPy array of numbers."""
    try:
        plain = value.detach().cpu() if hasattr(value, "detach") else value
        array = np.asarray(plain.numpy() if hasattr(plain, "numpy") else plain)
    except Exception:  # a ragged list, a symbolic tensor: whatever it is, the learner is told
        array = np.array(None)
    require(array.dtype.kind in "biufc", f"{name}: numbers are expected, not {_described(value)}.")
    return array


def _is_stub(value: Any) -> bool:
    return value is None or value is ...


def _copied(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(map(_copied, value))
    if hasattr(value, "clone"):  # PyTorch, whose clones stay in the graph, so that a check can take gradients
        return value.clone()
    return value.copy() if isinstance(value, np.ndarray) else value


def _described(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    shape = getattr(value, "shape", None)
    return f"one {type(value).__name__}" + ("" if shape is None else f" of shape {tuple(shape)}")


def _gist(error: Exception) -> str:
    """The line of a message that says what is wrong: Keras and TensorFlow say first where they were."""
    text = re.sub(r"\x1b\[\d*m|\{\{.*?\}\}", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if not line.startswith("Exception encountered when calling")), "")


def _where(error: Exception, answer: Callable) -> str:
    """The learner's own line in a traceback that may end deep in a framework."""
    home = getattr(answer, "__module__", None)
    theirs = [at for at in traceback.walk_tb(error.__traceback__) if at[0].f_globals.get("__name__") == home]
    text = linecache.getline(theirs[-1][0].f_code.co_filename, theirs[-1][1]).strip() if theirs else ""
    return f" (in the line `{text}`)" if text else ""
