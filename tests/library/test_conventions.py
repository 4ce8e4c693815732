"""What book/reference/conventions.md says of masks is run: its code, and its statements about PyTorch and Keras."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

import attnlib

FRAMEWORK = "each"
PAGE = Path(attnlib.__file__).parents[1] / "book" / "reference" / "conventions.md"
BLOCKS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
IMPORTS = {"torch": "import torch\n", "tensorflow": "import tensorflow as tf\n"}


def blocks(name):
    """The page's code for one framework, with what it says that it prints."""
    others = [line for framework, line in IMPORTS.items() if framework != name]
    wanted = IMPORTS.get(name, "import numpy as np\n")
    return [(code, text) for code, text in BLOCKS if wanted in code and not any(other in code for other in others)]


@pytest.fixture(scope="module")
def page(fw):
    """The names that the page's code defines."""
    names = {}
    for code, _ in blocks(fw.name):
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(code, str(PAGE), "exec"), names)
    return names


def only(fw, name):
    if fw.name != name:
        pytest.skip(f"about {name}")


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def chance(*shape, seed=0):
    """A random mask in which every row has a True."""
    return (np.random.default_rng(seed).random(shape) < 0.6) | np.eye(*shape[-2:], dtype=bool)


def test_the_code_prints_what_the_page_says(fw):
    assert sum(len(blocks(name)) for name in ("numpy", *IMPORTS)) == len(BLOCKS)
    for code, text in blocks(fw.name):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, str(PAGE), "exec"), {})
        assert output.getvalue() == text


def test_jax_has_its_mask_and_lengths_in_one(fw, page):
    only(fw, "numpy")
    mask = chance(2, 1, 3, 5)
    got = page["from_jax"](3, 5, mask=mask, is_causal=True, key_value_seq_lengths=[4, 2])
    for b, length in enumerate((4, 2)):
        for i in range(3):
            for j in range(5):
                assert got[b, 0, i, j] == (mask[b, 0, i, j] and j <= i and j < length)
    assert page["heads_first"](np.zeros((2, 7, 3, 5))).shape == (2, 3, 7, 5)


def test_packed_sequences_are_as_if_each_were_alone(fw, page):
    only(fw, "numpy")
    begins_q, begins_k = [0, 2, 2, 7], [0, 3, 4, 7]  # the third sequence has more queries than keys, the second none
    q, k, v = random(7, 3), random(7, 3, seed=1), random(7, 2, seed=2)
    for causal in (False, True):
        mask = page["from_cu_seqlens"](begins_q, begins_k, causal=causal)
        packed = fw.attn.scaled_dot_product_attention(q, k, v, mask=mask)
        for n in (0, 2):
            rows, cols = slice(*begins_q[n : n + 2]), slice(*begins_k[n : n + 2])
            alone = fw.attn.scaled_dot_product_attention(q[rows], k[cols], v[cols], causal=causal)
            np.testing.assert_allclose(packed[rows], alone, atol=1e-6)


def test_a_tokenizers_mask_may_be_padded_on_either_side(fw, page):
    only(fw, "numpy")
    lengths = np.array([2, 5, 3])
    right = page["from_tokenizer"](np.arange(5) < lengths[:, None], 5, causal=False)
    np.testing.assert_array_equal(right[:, 0], fw.attn.padding_mask(lengths, 5))
    left = page["from_tokenizer"](np.arange(5) >= 5 - lengths[:, None], 2, causal=True)
    assert left.sum(axis=(1, 2, 3)).tolist() == [1 + 2, 4 + 5, 2 + 3]


# ---- PyTorch ----


@pytest.fixture
def mha(fw):
    """PyTorch's layer, ours with the same weights, and input."""
    only(fw, "torch")
    fw.torch.manual_seed(0)
    theirs = fw.torch.nn.MultiheadAttention(6, 3, batch_first=True).eval()
    return theirs, fw.attn.MultiHeadAttention.from_torch(theirs).eval(), fw.array(random(2, 5, 6))


@pytest.mark.parametrize("per_head", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_torch_multihead(fw, mha, page, per_head, padded):
    theirs, ours, x = mha
    forbidden = fw.array(~chance(6, 5, 5) if per_head else ~chance(5, 5))
    padding = fw.array(np.array([[False] * 5, [False] * 3 + [True] * 2])) if padded else None
    if padded:
        forbidden[..., 0] = False  # every query sees the first key
    allowed = page["from_multihead"](forbidden, padding, num_heads=3)
    for wanted_weights in (False, True):
        wanted, _ = theirs(x, x, x, attn_mask=forbidden, key_padding_mask=padding, need_weights=wanted_weights)
        fw.torch.testing.assert_close(ours(x, attention_mask=allowed), wanted)


def test_torch_multihead_returns_a_pair(fw, mha):
    theirs, _, x = mha
    assert theirs(x, x, x)[1].shape == (2, 5, 5)
    assert theirs(x, x, x, average_attn_weights=False)[1].shape == (2, 3, 5, 5)
    assert theirs(x, x, x, need_weights=False)[1] is None
    with pytest.raises(RuntimeError, match="is_causal"):
        theirs(x, x, x, is_causal=True)


def test_torch_multihead_of_nothing_is_nan_or_zero(fw, mha):
    theirs, _, x = mha
    nothing = fw.torch.ones(5, 5, dtype=fw.torch.bool)
    assert theirs(x, x, x, attn_mask=nothing)[0].isnan().all()
    with fw.torch.no_grad():
        theirs.out_proj.bias.zero_()
    assert (theirs(x, x, x, attn_mask=nothing, need_weights=False)[0] == 0).all()


def test_torch_transformer_takes_out_what_is_true(fw):
    only(fw, "torch")
    fw.torch.manual_seed(0)
    layer = fw.torch.nn.TransformerEncoderLayer(6, 3, 7, batch_first=True).train().requires_grad_(True)
    layer.dropout = layer.dropout1 = layer.dropout2 = fw.torch.nn.Identity()
    layer.self_attn.dropout = 0.0
    x = fw.array(random(1, 4, 6))
    moved = x.clone()
    moved[:, 2] += 1
    padding = fw.torch.tensor([[False, False, True, False]])
    before, after = (layer(y, src_key_padding_mask=padding) for y in (x, moved))
    fw.torch.testing.assert_close(before[:, [0, 1, 3]], after[:, [0, 1, 3]])
    assert not fw.torch.allclose(layer(x)[:, 0], layer(moved)[:, 0])


def test_torch_function(fw, page):
    only(fw, "torch")
    function = fw.torch.nn.functional.scaled_dot_product_attention
    q, k, v = (fw.array(random(2, 3, n, 4, seed=n)) for n in (5, 7, 7))
    mask = fw.array(chance(5, 7))
    added = fw.torch.zeros(5, 7).masked_fill(~mask, -fw.torch.inf)
    lowest = fw.torch.zeros(5, 7).masked_fill(~mask, fw.torch.finfo(fw.torch.float32).min)
    for theirs in (mask, added, lowest):
        ours = mask if theirs is mask else page["from_added"](theirs)
        wanted = fw.attn.scaled_dot_product_attention(q, k, v, mask=ours)
        fw.torch.testing.assert_close(function(q, k, v, attn_mask=theirs), wanted)
    first = fw.attn.scaled_dot_product_attention(q, k, v, mask=page["from_is_causal"](5, 7))
    fw.torch.testing.assert_close(function(q, k, v, is_causal=True), first)
    assert (function(q, k, v, attn_mask=fw.torch.zeros(5, 7, dtype=fw.torch.bool)) == 0).all()


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_torch_flex(fw, page):
    only(fw, "torch")
    flex = pytest.importorskip("torch.nn.attention.flex_attention")
    q, k, v = (fw.array(random(2, 3, n, 4, seed=n)) for n in (5, 7, 7))

    def mask_mod(b, h, q_idx, kv_idx):
        return (q_idx + b + h >= kv_idx) & (q_idx > 0)  # the first query sees nothing

    blocks = flex.create_block_mask(mask_mod, 2, 3, 5, 7, device="cpu")
    mask = page["from_mask_mod"](mask_mod, 2, 3, 5, 7)
    got = flex.flex_attention(q, k, v, block_mask=blocks)
    fw.torch.testing.assert_close(got, fw.attn.scaled_dot_product_attention(q, k, v, mask=mask))
    assert (got[..., 0, :] == 0).all()


# ---- Keras ----


@pytest.fixture
def keras_layer(fw):
    """Keras's layer, ours with the same weights, queries and keys."""
    only(fw, "tensorflow")
    import keras

    keras.utils.set_random_seed(0)
    theirs = keras.layers.MultiHeadAttention(3, 2)
    query, key = fw.array(random(2, 3, 6)), fw.array(random(2, 5, 6, seed=1))
    theirs(query, key)
    return theirs, fw.attn.MultiHeadAttention.from_keras(theirs), query, key


@pytest.mark.parametrize(
    "options",
    [
        {"attention_mask": chance(2, 3, 5)},
        {"attention_mask": chance(2, 3, 5).astype("int32"), "use_causal_mask": True},
        {"value_mask": np.arange(5) < [[3], [5]]},
        {"key_mask": np.arange(5) < [[3], [5]], "use_causal_mask": True},
    ],
    ids=["mask", "numbers", "values", "keys"],
)
def test_keras_multihead(fw, keras_layer, page, options):
    theirs, ours, query, key = keras_layer
    if "attention_mask" in options:
        options["attention_mask"][..., 0] = 1  # every query sees the first key
    mask = page["from_keras"](3, 5, **options)
    options = {name: fw.array(value) if np.ndim(value) else value for name, value in options.items()}
    np.testing.assert_allclose(ours(query, key, attention_mask=mask), theirs(query, key, **options), atol=1e-6)


def test_keras_multihead_padded_queries(fw, keras_layer, page):
    theirs, ours, query, key = keras_layer
    real = np.arange(3) < [[2], [3]]
    mask = page["from_keras"](3, 5, query_mask=real)
    wanted = fw.numpy(theirs(query, key, query_mask=fw.array(real)))
    np.testing.assert_allclose(fw.numpy(ours(query, key, attention_mask=mask))[real], wanted[real], atol=1e-6)


def test_keras_multihead_of_nothing_is_the_mean_or_zero(fw, keras_layer):
    theirs, _, query, key = keras_layer
    nothing = fw.array(np.zeros((2, 3, 5), bool))
    _, weights = theirs(query, key, attention_mask=nothing, return_attention_scores=True)
    assert (fw.numpy(weights) == 0).all()
    got = theirs(query, key, attention_mask=nothing)
    theirs._query_dense.kernel.assign(0 * theirs._query_dense.kernel)  # all scores are equal
    np.testing.assert_allclose(got, theirs(query, key), atol=1e-6)


def test_keras_attention(fw):
    only(fw, "tensorflow")
    import keras

    layer = keras.layers.Attention()
    query, value, key = (fw.array(random(2, n, 4, seed=n + m)) for m, n in enumerate((3, 5, 5)))
    real = np.arange(5) < [[3], [5]]
    output, weights = layer([query, value, key], mask=[None, fw.array(real)], return_attention_scores=True)
    wanted = fw.attn.attend(fw.attn.dot_scores(query, key), value, mask=fw.array(real[:, None]))
    np.testing.assert_allclose(output, wanted, atol=1e-6)
    _, weights = layer([query, value, key], use_causal_mask=True, return_attention_scores=True)
    assert (fw.numpy(weights)[0] > 0).tolist() == np.tri(3, 5, dtype=bool).tolist()
    nothing = fw.array(np.zeros((2, 5), bool))
    _, weights = layer([query, value, key], mask=[None, nothing], return_attention_scores=True)
    np.testing.assert_allclose(weights, 1 / 5, atol=1e-6)
