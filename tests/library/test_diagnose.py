"""A look at data before training: alignments that are known come out, and the numbers are those of a loop."""

import numpy as np
import pytest

from attnlib import diagnose

FRAMEWORK = "numpy"


def copies(n=400, longest=7, symbols=6, *, order=None, seed=0):
    """Sources of random letters, and each letter's own symbol in the target, in another order if one is given."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, longest + 1, size=n)
    source = np.zeros((n, longest), dtype=int)
    target = source.copy()
    for i, m in enumerate(lengths):
        source[i, :m] = rng.integers(1, symbols + 1, size=m)
        place = np.arange(m) if order is None else order(m)
        target[i, :m] = 10 + source[i, place]
    return source, lengths, target


def backwards(m):
    return np.arange(m)[::-1]


def test_a_letter_writes_its_symbol_from_its_place():
    source, lengths, target = copies()
    found = diagnose.align(source, lengths, target)
    for letter in range(1, 7):
        assert found.symbols[letter, letter + 10] > 0.95
    shares = found.posterior(source, lengths, target)
    real = target > 0
    assert np.array_equal(shares.argmax(axis=-1)[real] - 1, np.broadcast_to(np.arange(7), real.shape)[real])
    assert diagnose.in_order(shares) > 0.97 and diagnose.in_window(shares, 1) > 0.97
    assert found.bits(source, lengths, target) < 0.2 < 2 < diagnose.bits_by_step(target)


def test_a_source_that_is_written_backwards():
    source, lengths, target = copies(order=backwards)
    shares = diagnose.align(source, lengths, target).posterior(source, lengths, target)
    real = target > 0
    place = lengths[:, None] - 1 - np.arange(7)
    assert np.array_equal(shares.argmax(axis=-1)[real] - 1, place[real])
    assert diagnose.in_order(shares) < 0.03 and diagnose.in_window(shares, 1) < 0.6


def test_what_comes_from_nowhere():
    source, lengths, target = copies()
    target = np.insert(target, 2, 20, axis=1)  # a dash after two symbols, whatever was read
    shares = diagnose.align(source, lengths, target).posterior(source, lengths, target)
    assert (shares[:, 2].argmax(axis=-1) == 0).mean() > 0.95
    assert (shares[:, 1].argmax(axis=-1) == 0).mean() < 0.05


def test_nonsense_saves_no_bits():
    source, lengths, target = copies(2000)
    target = target[np.random.default_rng(1).permutation(len(target))]
    found = diagnose.align(source, lengths, target)
    assert found.bits(source, lengths, target) > 0.95 * diagnose.bits_by_step(target)


def test_tables_and_shares_are_of_probability():
    source, lengths, target = copies(50)
    found = diagnose.align(source, lengths, target, rounds=(2, 2))
    np.testing.assert_allclose(found.symbols.sum(axis=-1), 1)
    assert np.all(found.symbols[:, 0] == 0)
    np.testing.assert_allclose(found.places.sum(axis=-1), 1)
    shares = found.posterior(source, lengths, target)
    np.testing.assert_allclose(shares.sum(axis=-1), target > 0)
    beyond = np.arange(8) > lengths[:, None]
    assert np.all(shares.transpose(0, 2, 1)[beyond] == 0)  # no share in the padding


def test_the_rounds_are_those_of_a_loop():
    """Model 1 on the two pairs that the chapter does by hand."""
    source, lengths = np.array([[1, 2], [2, 0]]), np.array([2, 1])
    target = np.array([[1, 2], [2, 0]])
    table = {(x, y): 1 / 2 for x in (0, 1, 2) for y in (1, 2)}
    for _ in range(4):
        counts = dict.fromkeys(table, diagnose.SMOOTHING)
        for xs, ys in (((0, 1, 2), (1, 2)), ((0, 2), (2,))):
            for y in ys:
                total = sum(table[x, y] for x in xs)
                for x in xs:
                    counts[x, y] += table[x, y] / total
        table = {(x, y): counts[x, y] / (counts[x, 1] + counts[x, 2]) for x, y in table}
    found = diagnose.align(source, lengths, target, rounds=(4, 0)).symbols
    for (x, y), value in table.items():
        assert found[x, y] == pytest.approx(value)


def test_places_are_learned_in_the_second_kind_of_rounds_only():
    source, lengths, target = copies(50)
    even = np.tri(8) / np.arange(1, 9)[:, None]  # by length
    first, second = (diagnose.align(source, lengths, target, rounds=rounds).places for rounds in ((3, 0), (0, 1)))
    assert np.allclose(first, even[:, None])
    # After one round from even tables: what the shares of all pairs, even as well, add up to.
    assert np.allclose(second[7, 0], even[7]) and np.allclose(second.sum(axis=-1), 1)
    third = diagnose.align(source, lengths, target, rounds=(1, 1)).places
    assert not np.allclose(third[7, 0], even[7], atol=0.02)


def test_more_rounds_explain_the_pairs_no_worse():
    source, lengths, target = copies(100)
    bits = [diagnose.align(source, lengths, target, rounds=(k, 0)).bits(source, lengths, target) for k in (1, 2, 4, 8)]
    assert bits == sorted(bits, reverse=True)


def test_the_numbers_are_those_of_loops():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.full(7, 0.5), size=(5, 4))  # [n, out_len, in_len + 1]
    weights[2, 3] = 0
    near = everything = forwards = both = 0.0
    for pair in weights:
        for t, row in enumerate(pair):
            for s, share in enumerate(row[1:]):
                everything += share
                near += share * (abs(s - t) <= 2)
        for t in range(4):
            for u in range(t + 1, 4):
                for s in range(6):
                    for r in range(6):
                        both += pair[t, s + 1] * pair[u, r + 1]
                        forwards += pair[t, s + 1] * pair[u, r + 1] * (r >= s)
    assert diagnose.in_window(weights, 2) == pytest.approx(near / everything)
    assert diagnose.in_order(weights) == pytest.approx(forwards / both)
    assert diagnose.in_order(weights[:, :1]) == 1


def test_bits_by_step():
    target = np.array([[1, 3], [2, 3], [1, 3], [2, 0]])
    assert diagnose.bits_by_step(target) == pytest.approx(4 * 1 / 7)  # one bit in the first step, none in the second


def test_padding():
    lengths = np.array([1, 4, 2, 4, 3])
    assert diagnose.padding_share(lengths, 2) == pytest.approx(1 - 14 / (8 + 8 + 3))
    assert diagnose.padding_share(lengths, 2, sort=True) == pytest.approx(1 - 14 / (4 + 8 + 4))
    assert diagnose.padding_share(lengths, 1) == 0
    assert lengths.tolist() == [1, 4, 2, 4, 3]


@pytest.mark.parametrize(
    ("measured", "kind"),
    [
        ((1, 1.0, 1.0), "none"),
        ((5, 0.9, 1.0), "local-m"),
        ((5, 0.89, 0.9), "local-p"),
        ((5, 0.89, 0.89), "global"),
        ((5, 0.2, 0.3), "global"),
    ],
)
def test_the_rule(measured, kind):
    assert diagnose.choose(*measured) == kind


def test_bad_input():
    source, lengths, target = copies(4)
    with pytest.raises(ValueError, match=r"must be \[n, in_len\], \[n\] and \[n, out_len\]: got \(4, 7\), \(3,\) and"):
        diagnose.align(source, lengths[:3], target)
    with pytest.raises(ValueError, match="got 0 and 4 lengths"):
        diagnose.padding_share(lengths, 0)
    with pytest.raises(ValueError, match="got 2 and 0 lengths"):
        diagnose.padding_share(lengths[:0], 2)
