"""Checks for the exercises of "From spelling to sound" (book/pytorch/seq2seq_cmudict.ipynb)."""

import numpy as np
import torch

from attnlib.exercises._answers import as_array, exercise, require, require_shape, run, same, same_values


@exercise
def check_edits(edits, rate):
    """Exercise 1: from `K N IH F EH` to `N AY F`."""
    require_shape(edits, (), "edits", hint="One number is asked for.")
    require_shape(rate, (), "rate", hint="One number is asked for.")
    require(
        not same_values(edits, 2),
        "the lengths differ by 2, so at least 2 edits are needed; but IH is not AY.",
    )
    require(
        not same_values(edits, 4),
        "4 is too many: delete K first, and N and F stand where they should.",
    )
    require(not same_values(edits, 5), "place by place all five are wrong, but K can be deleted, which moves the rest.")
    same(edits, 3, "edits", hint="Delete K, put AY for IH, delete EH.")
    require(
        not same_values(rate, 3 / 5, tolerance=1e-3),
        "divided by the phonemes of the answer: a rate counts those of the reference.",
    )
    require(
        not same_values(rate, 100, tolerance=1e-3), "a rate of 100 would be ten thousand per cent: give a share, not %."
    )
    same(rate, 1, "rate", hint="Edits over the phonemes of the reference.", tolerance=1e-3)
    return "three edits for three phonemes: a rate of 1, though N and F are right. Another edit, and it is above 1."


@exercise
def check_word_error_rate(answer):
    """Exercise 2: (word -> answer, word -> pronunciations) -> the share of words without a match."""
    references = {
        "read": (("R", "EH", "D"), ("R", "IY", "D")),
        "cat": (("K", "AE", "T"),),
        "the": (("DH", "AH"), ("DH", "IY")),
        "dog": (("D", "AO", "G"),),
    }
    written = {"dog": ("D", "AO", "G"), "read": ("R", "IY", "D"), "cat": ("K", "AE"), "the": ("DH", "AH")}
    got = run(answer, written, references)
    require_shape(got, (), "the word error rate", hint="One number for all words.")
    mistakes = {
        "that is the share of right words: count the others.": 0.75,
        "only the first pronunciation was compared: `R IY D` is right as well.": 0.5,
        "that is how many words are wrong: divide by the number of words.": 1,
        "that is a rate in per cent: a share is asked for.": 25,
    }
    for message, value in mistakes.items():
        require(not same_values(got, value), message)
    same(got, 0.25, "the word error rate", hint="A word is wrong if its answer is none of its pronunciations.")
    swapped = {"read": ("R", "EH", "T"), "cat": ("K", "AE", "T"), "the": ("DH", "IY"), "dog": ("D", "AO")}
    same(run(answer, swapped, references), 0.5, "the word error rate of other answers")
    return "right is what stands among the pronunciations; how wrong the others are does not count."


@exercise
def check_out_of_sight(answer):
    """Exercise 3: (letters, phonemes, D) -> the letters that local-m never sees."""
    got = _as_set(run(answer, 9, 4, 2))
    require(got != {8}, "`n_phonemes + 1` steps are counted from 0, so that the last is `n_phonemes`, not one more.")
    require(
        got != {6, 7, 8},
        "the end sign is a step as well: the last one is aligned to letter `n_phonemes`.",
    )
    require(got != {5, 6, 7, 8}, "a window reaches D letters to the right of where it is aligned: add D.")
    require(got != set(range(7)), "those are the letters that are seen; the others are asked for.")
    require(got == {7, 8}, f"for 9 letters, 4 phonemes and D = 2 it must be {{7, 8}}, yours is {sorted(got)}.")
    require(_as_set(run(answer, 4, 5, 3)) == set(), "with more phonemes than letters all are seen: an empty set.")
    require(_as_set(run(answer, 12, 3, 1)) == set(range(5, 12)), "12 letters, 3 phonemes and D = 1 came out wrong.")
    return "what makes fewer sounds than letters runs out of steps before the end is in sight."


@exercise
def check_backward_steps(answer):
    """Exercise 4: [out_len, in_len] -> how often the peak moves left."""
    weights = np.eye(5)[[0, 1, 1, 4, 2, 3, 0]] * 0.6 + 0.08
    got = run(answer, weights)
    require_shape(got, (), "the number of steps", hint="One number is asked for.")
    forwards = same_values(run(answer, weights[:2]), 1)  # the first step goes forwards, and no other
    require(
        not (same_values(got, 3) or same_values(got, 4)) or not forwards,
        "the steps forwards were counted: count those that go back.",
    )
    require(not same_values(got, 3), "a step that stays where it was does not go back: compare with `<`, not `<=`.")
    same(
        got,
        2,
        "the number of steps",
        hint="The largest weight's place is the argmax of a row; compare neighbours.",
    )
    same(run(answer, weights[:3]), 0, "a path that never goes back")
    same(run(answer, weights[::-1][:4].copy()), 1, "another path")
    return "a property that was seen in a picture is now a number, for as many words as you like."


@exercise
def check_ensemble(answer):
    """Exercise 5: [models, words, phonemes] -> [words]."""
    sure, unsure = [9.0, 0.0, 0.0, 2.0], [0.0, 0.4, 0.0, 0.1]
    third = torch.tensor([[0.6, 0.4, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0], [0.1, 0.5, 0.0, 0.4]]).clamp(min=1e-3).log()
    logits = torch.tensor([[sure, unsure], [[0.0, 0.0, 2.2, 2.0], sure], [[-30.0, 0.0, 2.2, 2.0], unsure]])
    logits = torch.cat([logits, third[:, None]], dim=1)  # [models, words, phonemes]
    got = run(answer, logits)
    require_shape(got, (3,), "the answer", hint="One phoneme's number for each word: the argmax of the last axis.")
    right = torch.softmax(logits, dim=-1).mean(dim=0).argmax(dim=-1)
    votes = torch.mode(logits.argmax(dim=-1), dim=0).values
    require(
        not same_values(got, logits.mean(dim=0).argmax(dim=-1)),
        "the logits were averaged: one model's -30 is a veto there. Average the probabilities, after the softmax.",
    )
    require(not same_values(got, votes), "that is a vote: how sure each model is should count as well.")
    surest = torch.softmax(logits, dim=-1).amax(dim=0).argmax(dim=-1)
    require(not same_values(got, surest), "the surest model alone decides: take the mean over the models.")
    same(got, right, "the answer", hint="Softmax over the phonemes, mean over the models, then the argmax.")
    return "models that err in different places help each other out."


def _as_set(got):
    if not isinstance(got, set | frozenset | list | tuple | range) and not getattr(got, "ndim", 0):
        require(False, f"a set of letters' places is expected, not one {type(got).__name__}.")
    places = as_array(list(got), "the letters' places")
    require(places.ndim == 1, "one place a letter is expected, such as {7, 8}.")
    return set(places.tolist())
