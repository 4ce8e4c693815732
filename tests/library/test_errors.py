"""Bad input: the same error in all three frameworks, naming the argument, what must hold and what came."""

import importlib
import pkgutil
import re

import numpy as np
import pytest

from attnlib import _checks

FRAMEWORK = "each"


def x(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


Q, K, V = x(2, 3, 5), x(2, 7, 5), x(2, 7, 11)
MASK = np.ones((3, 7), bool)
CALLS = [
    ("dot_scores", (x(5), K), {}, "q must be [..., length, features], got shape [5]"),
    ("dot_scores", (Q, x(2, 7, 4)), {}, "q and k must have the same last axis (d), got [2, 3, 5] and [2, 7, 4]"),
    ("dot_scores", (Q, x(3, 7, 5)), {}, "the leading axes of q and k must broadcast, got q [2, 3, 5], k [3, 7, 5]"),
    ("dot_scores", (Q, x(2, 0, 5)), {}, "k must not be empty, got shape [2, 0, 5]"),
    ("dot_scores", (x(2, 3, 5, dtype=np.int64), K), {}, "q must be floating point, got int64"),
    (
        "dot_scores",
        (Q, x(2, 7, 5, dtype=np.float64)),
        {},
        "q and k must have the same dtype, got q float32, k float64",
    ),
    ("scaled_dot_scores", (Q, x(2, 7, 4)), {}, "q and k must have the same last axis (d)"),
    ("general_scores", (Q, K, x(5, 4)), {}, "weight must be [d_q, d_k] for q [2, 3, 5] and k [2, 7, 5], got [5, 4]"),
    ("additive_scores", (Q, K, x(5, 3), x(5, 3), x(3, 1)), {}, "v_score must be [d_hidden], got shape [3, 1]"),
    ("additive_scores", (Q, K, x(4, 3), x(5, 3), x(3)), {}, "w_query must be [last axis of q, d_hidden]"),
    ("additive_scores", (Q, K, x(5, 3), x(5, 4), x(3)), {}, "w_key must be [last axis of k, d_hidden]"),
    ("attend", (x(2, 3, 7), x(2, 6, 5)), {}, "scores and v must have the same k_len, got [2, 3, 7] and [2, 6, 5]"),
    ("attend", (x(2, 3, 7), V), {"mask": np.ones((4, 7), bool)}, "mask must broadcast to the scores [2, 3, 7]"),
    ("masked_softmax", (x(3, 7, dtype=np.int32),), {}, "scores must be floating point, got int32"),
    ("masked_softmax", (x(3, 7), MASK.astype(np.float32)), {}, "mask must be boolean, True where a query may attend"),
    ("masked_softmax", (x(3, 7), np.ones((2, 3, 7), bool)), {}, "mask must broadcast to the scores [3, 7], got shape"),
    ("causal_mask", (0,), {}, "q_len must be an integer of at least 1, got 0"),
    ("causal_mask", (3, -1), {}, "k_len must be an integer of at least 1, got -1"),
    ("causal_mask", (2.0,), {}, "q_len must be an integer of at least 1, got 2.0"),
    ("padding_mask", (np.array([1.0]), 3), {}, "lengths must be integers, got float64"),
    ("padding_mask", (np.array([1, 4]), 3), {}, "lengths must be from 0 to max_len 3, got 1 to 4"),
    ("padding_mask", (np.array([-1, 2]), 3), {}, "lengths must be from 0 to max_len 3, got -1 to 2"),
    ("padding_mask", (np.array([1]), 0), {}, "max_len must be an integer of at least 1, got 0"),
    ("scaled_dot_product_attention", (Q, x(2, 7, 4), V), {}, "q and k must have the same last axis (d)"),
    ("scaled_dot_product_attention", (Q, K, x(2, 6, 11)), {}, "k and v must have the same length, got [2, 7, 5] and"),
    ("scaled_dot_product_attention", (Q, K, x(3, 7, 11)), {}, "the leading axes of k and v must broadcast"),
    (
        "scaled_dot_product_attention",
        (Q, K, V),
        {"mask": np.ones((2, 7, 3), bool)},
        "mask must broadcast to the scores",
    ),
    ("scaled_dot_product_attention", (Q, K, V), {"mask": x(3, 7)}, "mask must be boolean"),
    ("scaled_dot_product_attention", (Q, K, V), {"mask": x(3, 7), "causal": True}, "mask must be boolean, True where"),
    ("scaled_dot_product_attention", (Q, K, V), {"bias": MASK}, "bias must be floating point, got bool"),
    (
        "scaled_dot_product_attention",
        (Q, K, V),
        {"bias": x(3, 7, dtype=np.float64)},
        "q and bias must have the same dtype, got q float32, bias float64",
    ),
    ("scaled_dot_product_attention", (Q, K, V), {"bias": x(7, 3)}, "bias must broadcast to the scores [2, 3, 7]"),
    ("scaled_dot_product_attention", (Q, K, V), {"impl": "fast"}, "impl must be one of 'explicit'"),
]


@pytest.mark.parametrize("name, arguments, options, message", CALLS, ids=[f"{c[0]}: {c[3]}" for c in CALLS])
def test_functions(fw, name, arguments, options, message):
    def native(a):
        return fw.array(a) if isinstance(a, np.ndarray) else a

    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(fw.attn, name)(*map(native, arguments), **{n: native(a) for n, a in options.items()})


def test_a_list_is_not_an_array(fw):
    with pytest.raises(ValueError, match="q must be an array, got list"):
        fw.attn.dot_scores([[1.0]], fw.array(K))


@pytest.mark.parametrize(
    "name, arguments, message",
    [
        ("GeneralAttention", (0, 5), "d_query must be an integer of at least 1, got 0"),
        ("GeneralAttention", (5, 2.5), "d_key must be an integer of at least 1, got 2.5"),
        ("AdditiveAttention", (2.0, 5, 5), "d_query must be an integer of at least 1, got 2.0"),
        ("AdditiveAttention", (5, 0, 5), "d_key must be an integer of at least 1, got 0"),
        ("AdditiveAttention", (5, 5, True), "d_hidden must be an integer of at least 1, got True"),
    ],
)
def test_layers_are_made_with_sizes(fw, name, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(fw.attn, name)(*arguments)


@pytest.mark.parametrize(
    "shapes, mask, message",
    [
        (
            ((2, 3, 5), (2, 7, 5), (2, 6, 5)),
            None,
            "key and value must have the same length, got [2, 7, 5] and [2, 6, 5]",
        ),
        (((3, 5), (3, 5), (3, 5)), None, "query must be [batch, ..., length, features], got shape [3, 5]"),
        (((2, 3, 5), (7, 5), (7, 5)), None, "key must be [batch, ..., length, features], got shape [7, 5]"),
        (((2, 3, 5), (4, 7, 5), (4, 7, 5)), None, "the leading axes of query and key and value must broadcast"),
        (((2, 3, 5), (2, 7, 4), (2, 7, 4)), None, "must have the same last axis (d)"),
        (((2, 3, 5), (2, 7, 5), (2, 7, 5)), x(3, 7), "attention_mask must be boolean"),
        (((2, 3, 5), (2, 7, 5), (2, 7, 5)), np.ones((7, 3), bool), "attention_mask must broadcast to the scores"),
    ],
)
def test_layer_calls(fw, shapes, mask, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        fw.attn.DotProductAttention()(*[fw.array(x(*s)) for s in shapes], attention_mask=fw.array(mask))


def test_no_module_of_the_checks_is_called_like_a_check():
    """A submodule becomes an attribute of its package when it is imported, in place of a function of that name."""
    modules = {module.name for module in pkgutil.iter_modules(_checks.__path__)}
    checks = {name for module in modules for name in vars(importlib.import_module(f"attnlib._checks.{module}"))}
    assert modules and not modules & checks
