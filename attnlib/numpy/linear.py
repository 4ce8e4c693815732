"""Linear attention: a kernel φ(q) · φ(k) in the place of exp(q · k), so that the sum over the keys is made once.

    output_i = φ(q_i) S_i / (φ(q_i) · z_i),   S_i = Σ_j φ(k_j)ᵀ v_j,   z_i = Σ_j φ(k_j)

    over all keys j, or over the keys up to i           Katharopoulos et al. (2020), eqs. 5 and 9 to 12
    φ(x) = elu(x) + 1                                   eq. 7
    S_i = S_(i-1) + φ(k_i)ᵀ v_i: a recurrent network    eqs. 16 to 20

Its cost grows with the length and not with its square; what all keys have to say fits into S and z.
"""

import numpy as np

from attnlib import _checks


def elu_plus_one(x):
    """`[...] -> [...]`: elu(x) + 1, that is exp(x) below zero and x + 1 above; always positive.

    Raises ValueError for an x that is not floating point.
    Source: Katharopoulos et al. (2020), eq. 7.
    """
    _checks.floating(x=x)
    return np.exp(np.minimum(x, 0)) + np.maximum(x, 0)


def _features(q, k, v, mask, feature_map):
    """`φ(q)`, `φ(k)` with zeros where masked, and `v`, all at least in float32."""
    _checks.linear(q, k, v, mask, feature_map)
    feature_map = elu_plus_one if feature_map is None else feature_map
    if q.dtype.itemsize < 4:
        q, k, v = (x.astype(np.float32) for x in (q, k, v))
    phi_q, phi_k = feature_map(q), feature_map(k)
    _checks.features(q, phi_q)
    _checks.features(k, phi_k)
    phi_q, phi_k = phi_q.astype(q.dtype, copy=False), phi_k.astype(q.dtype, copy=False)
    if mask is not None:
        phi_k = np.where(np.swapaxes(np.atleast_2d(mask), -1, -2), phi_k, phi_k.dtype.type(0))
    return phi_q, phi_k, v


def _read(phi_q, s, z):
    """`[..., n, f], [..., f, d_v], [..., f] -> [..., n, d_v]`: what the sums hold for a query; zeros for no keys."""
    total = phi_q @ z[..., None]  # [..., n, 1]
    return phi_q @ s / np.where(total == 0, total.dtype.type(1), total)


def linear_attention(q, k, v, /, *, mask=None, causal=False, feature_map=None):
    """`[..., q_len, d], [..., k_len, d], [..., k_len, d_v] -> [..., q_len, d_v]`, all queries at once.

    mask: boolean, True where a key may be seen, the same for every query: `[..., 1, k_len]`, as of `padding_mask`.
    causal: a query sees no later key; the last query is aligned to the last key. Every key then has sums of its
    own, `[..., k_len, f, d_v]` for f features: linear in the length too, but `recurrent_linear_attention` needs less.
    feature_map: from `[..., d]` to `[..., f]`, not negative; by default `elu_plus_one`.

    A query that sees no key gets zeros. Half precision is computed in float32 and returned as it came.
    Raises ValueError for shapes or types that do not fit, or a mask that differs from query to query.
    Source: Katharopoulos et al. (2020), eqs. 5 and 9.
    """
    phi_q, phi_k, values = _features(q, k, v, mask, feature_map)
    if causal:
        q_len, k_len = q.shape[-2], k.shape[-2]
        if q_len > k_len:  # the first queries stand before the first key
            phi_k, values = (
                np.concatenate([np.zeros_like(x, shape=(*x.shape[:-2], q_len - k_len, x.shape[-1])), x], axis=-2)
                for x in (phi_k, values)
            )
        s = np.cumsum(phi_k[..., :, None] * values[..., None, :], axis=-3)[..., -q_len:, :, :]  # [..., q_len, f, d_v]
        z = np.cumsum(phi_k, axis=-2)[..., -q_len:, :]  # [..., q_len, f]
        output = _read(phi_q[..., None, :], s, z)[..., 0, :]  # each query has sums of its own
    else:
        output = _read(phi_q, np.swapaxes(phi_k, -1, -2) @ values, phi_k.sum(axis=-2))
    return output.astype(q.dtype, copy=False)


def recurrent_linear_attention(q, k, v, state=None, /, *, mask=None, feature_map=None):
    """`[..., length, d], [..., length, d], [..., length, d_v] -> [..., length, d_v]`, one position after the other.

    Causal, and the same as `linear_attention` with `causal=True`. state: `(s, z)` as returned by the call for the
    positions before, `s` `[..., f, d_v]` and `z` `[..., f]` for f features; None at the start. The state does not grow.
    mask, feature_map: see `linear_attention`.

    Returns `(output, state)`, the state in float32 or float64.
    Raises ValueError for shapes or types that do not fit, or different numbers of queries and keys.
    Source: Katharopoulos et al. (2020), eqs. 16 to 20.
    """
    phi_q, phi_k, values = _features(q, k, v, mask, feature_map)
    _checks.same("q", -2, "k", -2, "length", q=q, k=k)
    s = np.zeros_like(phi_k[..., 0, :, None] * values[..., 0, None, :])  # [..., f, d_v]
    z = np.zeros_like(phi_k[..., 0, :])  # [..., f]
    if state is not None:
        _checks.linear_state(state, s, z)
        s, z = s + state[0], z + state[1]
    outputs = []
    for i in range(q.shape[-2]):
        s = s + phi_k[..., i, :, None] * values[..., i, None, :]
        z = z + phi_k[..., i, :]
        outputs.append(_read(phi_q[..., i, None, :], s, z))  # [..., 1, d_v]
    return np.concatenate(outputs, axis=-2).astype(q.dtype, copy=False), (s, z)
