"""Checks for the exercises of "Sequence to sequence with attention" (book/tensorflow/seq2seq_dates.ipynb)."""

import math

import numpy as np

from attnlib.exercises._answers import as_array, exercise, require, run, same, same_values


@exercise
def check_character_accuracy(answer):
    """The accuracy of a character at which nine in ten texts of ten characters are right."""
    p = float(as_array(answer, "p"))
    require(0 < p < 1, f"an accuracy lies between 0 and 1, yours is {p:g}.")
    require(
        not math.isclose(p, 0.9**10, rel_tol=1e-2),
        "that is how many texts are right if each character is right nine times in ten; turn it round.",
    )
    require(not math.isclose(p, 0.9, rel_tol=2e-3), "then only 35 % of the texts would be right: 0.9¹⁰.")
    require(
        abs(p - 0.9**0.1) < 5e-4,
        f"with p = {p:.4f} the share of right texts is p¹⁰ = {p**10:.3f}; it should be 0.900. "
        f"Give p with four decimals.",
    )
    return "ten characters multiply their errors: 1 % for a character is 10 % for a date."


@exercise
def check_shift_right(answer):
    """(targets [b, length], start) -> what the decoder reads [b, length]."""
    targets = np.array([[5, 6, 7], [8, 9, 4]], dtype=np.int32)
    got = run(answer, targets, 1)
    require(
        not same_values(got, targets),
        "unshifted: the decoder reads the very character it has to write, and learns to copy it.",
    )
    require(
        not same_values(got, np.roll(targets, 1, axis=1)),
        "`np.roll` brings the last character round to the front: the decoder sees the end of the answer.",
    )
    left = np.concatenate([targets[:, 1:], np.full((2, 1), 1, dtype=np.int32)], axis=1)
    require(not same_values(got, left), "shifted the wrong way: step t reads what comes after it.")
    longer = np.concatenate([np.full((2, 1), 1, dtype=np.int32), targets], axis=1)
    require(not same_values(got, longer), "one too long: the last character is never read, only written. Drop it.")
    require(
        not same_values(got, np.concatenate([np.full((1, 3), 1), targets[:-1]])),
        "that shifts the examples, not the characters: the axis of time is the last one.",
    )
    same(got, longer[:, :-1], "what the decoder reads", hint="The start, then all but the last character.")
    same(run(answer, targets[:1], 2), [[2, 5, 6]], "with another start", hint="Use the argument `start`.")
    return "step t reads the characters before t, and writes character t."


@exercise
def check_greedy(answer):
    """(step, state, start, length) -> the numbers a step function writes when it reads its own output."""
    rng = np.random.default_rng(3)
    table = rng.normal(size=(7, 11, 11))

    def step(previous, state):
        return table[state % 7, previous], state + 1

    def decode(*, feed=True, carry=True, count=6):
        previous, state, written = 2, 0, []
        for _ in range(count):
            logits, later = step(previous, state)
            state = later if carry else state
            best = int(np.argmax(logits))
            previous = best if feed else previous
            written.append(best)
        return written

    right = decode()
    got = run(answer, step, 0, 2, 6)
    wrong = {
        "the state never moves on: carry what `step` returns to the next call.": decode(carry=False),
        "every step reads the start again: feed it what was written last.": decode(feed=False),
        "the start is not part of the answer: return only what was written.": [2, *right],
        "the start is not part of the answer, and the last character is missing.": [2, *right[:-1]],
    }
    for message, values in wrong.items():
        require(not same_values(got, values), message)
    same(got, right, "what was written", hint="Take the argmax of the logits, keep it, and feed it back.")
    same(run(answer, step, 3, 5, 2), _run_table(table, 3, 5, 2), "two steps from another state and start")
    return "nothing but its own output goes in: this is what the model does when it is used."


def _run_table(table, state, previous, count):
    written = []
    for i in range(count):
        previous = int(np.argmax(table[(state + i) % 7, previous]))
        written.append(previous)
    return written


@exercise
def check_mass_on(answer):
    """(weights [b, target_len, source_len], wanted [b, source_len]) -> [b, target_len]."""
    rng = np.random.default_rng(4)
    weights = rng.random((2, 3, 5))
    weights /= weights.sum(axis=-1, keepdims=True)
    wanted = np.array([[True, False, True, False, False], [False, True, True, True, False]])
    right = (weights * wanted[:, None, :]).sum(axis=-1)
    got = run(answer, weights, wanted)
    require(not same_values(got, 1 - right), "those are the weights of all the other characters: True is wanted.")
    require(
        not same_values(got, right / wanted.sum(axis=-1)[:, None]),
        "that is the mean weight of a wanted character; add their weights up.",
    )
    require(
        not same_values(got, right.mean(axis=0)) and not same_values(got, right.mean(axis=-1)),
        "keep the batch and the target axis: one number for each character written.",
    )
    require(not same_values(got, right.sum(axis=-1)), "sum over the source, the last axis, and no other.")
    same(got, right, "the mass", hint="Give `wanted` an axis of length 1 for the target: [b, 1, source_len].")
    return "a claim about where a model looks is now a number."
