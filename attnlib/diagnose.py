"""What pairs of sequences say, before any training, about the attention that they need.

    alignment = align(source, lengths, target)             # numbers, 0 for padding
    weights = alignment.posterior(source, lengths, target)  # [n, out_len, in_len + 1]
    in_window(weights, half_width=3), in_order(weights)

The alignment is that of model 2 of Brown et al. (1993), with one table of places for targets of all lengths. A symbol
y of the target comes from one place s of the source, or from none; at step t, with a source of length S,

    p(y, s | t) = places[S, t, s] · symbols[x_s, y]

The two tables are those under which the pairs are likeliest. The EM algorithm finds them: share each target symbol
out among the places by what the tables say, count the shares, take the counts for new tables, and again.
"""

from typing import NamedTuple

import numpy as np

SMOOTHING = 0.01  # added to each count, so that nothing is impossible


class Alignment(NamedTuple):
    """The tables of a fitted model. Place 0 is none at all, place s + 1 is s; symbol 0 is what stands there.

    places: `[in_len + 1, out_len, in_len + 1]`: for a length and a step, how likely each place is.
    symbols: `[source symbols, target symbols]`: for a source symbol, how likely each target symbol is.
    """

    places: np.ndarray
    symbols: np.ndarray

    def joint(self, source, lengths, target):
        """`[n, in_len], [n], [n, out_len] -> [n, out_len, in_len + 1]`: probability of symbol and place together."""
        with_none = np.pad(source, ((0, 0), (1, 0)))
        places = self.places[lengths, : target.shape[1], : with_none.shape[1]]
        return places * self.symbols[with_none[:, None, :], target[:, :, None]]

    def posterior(self, source, lengths, target):
        """`[n, in_len], [n], [n, out_len] -> [n, out_len, in_len + 1]`: from which place each symbol comes.

        A row sums to one; rows of padding are zero.
        """
        joint = self.joint(source, lengths, target)
        total = np.where(target > 0, joint.sum(axis=-1), 1)
        return (target > 0)[..., None] * joint / total[..., None]

    def bits(self, source, lengths, target):
        """What a symbol of the target costs: the mean of -log2 of its probability."""
        probability = self.joint(source, lengths, target).sum(axis=-1)
        return float(-np.log2(probability[target > 0]).mean())


def align(source, lengths, target, *, rounds=(5, 10)):
    """`[n, in_len], [n], [n, out_len] -> Alignment`: fitted to pairs of sequences of numbers, 0 for padding.

    rounds: of EM with even places (model 1), and then with places that are learned (model 2).

    Raises ValueError for arrays that do not fit together.
    Source: Brown, Della Pietra, Della Pietra and Mercer (1993), models 1 and 2.
    """
    if not (source.ndim == target.ndim == 2 and len(source) == len(lengths) == len(target)):
        raise ValueError(
            "source, lengths and target must be [n, in_len], [n] and [n, out_len]: "
            f"got {source.shape}, {np.shape(lengths)} and {target.shape}"
        )
    keys, (steps, width) = source.shape[1] + 1, (target.shape[1], int(target.max()) + 1)
    pair = np.pad(source, ((0, 0), (1, 0)))[:, None, :] * width + target[:, :, None]  # of symbols, as one number
    real = np.tri(keys)[:, None].repeat(steps, axis=1)  # a source of length S has places up to S
    even = real / real.sum(axis=-1, keepdims=True)
    fitted = Alignment(even, np.full((int(source.max()) + 1, width), 1 / width))
    for number in range(sum(rounds)):
        shares = fitted.posterior(source, lengths, target)
        symbols = np.bincount(pair.ravel(), shares.ravel(), fitted.symbols.size).reshape(-1, width) + SMOOTHING
        symbols[:, 0] = 0  # padding is never written
        places = SMOOTHING * real
        np.add.at(places, lengths, shares)
        places = places / places.sum(axis=-1, keepdims=True) if number >= rounds[0] else even
        fitted = Alignment(places, symbols / symbols.sum(axis=-1, keepdims=True))
    return fitted


def bits_by_step(target):
    """`[n, out_len] -> float`: what a symbol costs, in bits, if its step is known and the source is not."""
    counts = np.stack([np.bincount(column, minlength=int(target.max()) + 1)[1:] for column in target.T])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return float(-(counts * np.log2(np.where(counts > 0, shares, 1))).sum() / counts.sum())


def in_window(weights, half_width):
    """`[n, out_len, in_len + 1] -> float`: the share that step t finds in the places around t.

    weights: of a posterior; what comes from no place does not count.
    half_width: how many places to each side of t are in the window.
    """
    weights = weights[..., 1:]
    steps, keys = weights.shape[1:]
    near = np.abs(np.arange(keys) - np.arange(steps)[:, None]) <= half_width
    return float(weights[:, near].sum() / weights.sum())


def in_order(weights):
    """`[n, out_len, in_len + 1] -> float`: of all pairs of steps, the share whose later step does not go back.

    weights: of a posterior. What comes from no place does not count. With a single step there is no pair: 1.
    """
    weights = weights[..., 1:]
    not_later = weights.cumsum(axis=-1)  # [n, out_len, in_len]: up to and with this place
    forwards = np.einsum("nts,nus->tu", not_later, weights)
    both = np.einsum("nt,nu->tu", weights.sum(axis=-1), weights.sum(axis=-1))
    pairs = np.triu(np.ones_like(both), k=1)
    return float((forwards * pairs).sum() / (both * pairs).sum()) if both.shape[0] > 1 else 1.0


def padding_share(lengths, batch, *, sort=False):
    """`[n] -> float`: how much of the batches is padding, in the order given or sorted by length.

    Raises ValueError for a batch size below 1 and for no lengths.
    """
    if batch < 1 or not len(lengths):
        raise ValueError(f"batch must be at least 1 and lengths not empty: got {batch} and {len(lengths)} lengths")
    lengths = np.sort(lengths) if sort else np.asarray(lengths)
    batches = [lengths[i : i + batch] for i in range(0, len(lengths), batch)]
    return 1 - lengths.sum() / sum(len(one) * one.max() for one in batches)


def choose(steps, window, order):
    """Which attention to try first: "none", "local-m", "local-p" or "global". A rule of thumb, not a law.

    steps: mean length of the targets. window: of `in_window`. order: of `in_order`.
    """
    if steps <= 1:
        return "none"  # one answer is one question: the encoder's summary can be it
    if window >= 0.9:
        return "local-m"  # the answer is where the window stands anyway
    return "local-p" if order >= 0.9 else "global"  # off the diagonal: follow it if it moves on, else look everywhere
