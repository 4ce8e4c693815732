"""What printing a PyTorch layer says: its sizes, each where it belongs."""

import pytest

import attnlib.torch as attn

FRAMEWORK = "torch"


@pytest.mark.parametrize(
    "layer, said",
    [
        (attn.DotProductAttention(scale=0.5), "scale=0.5"),
        (attn.GeneralAttention(5, 7), "d_query=5, d_key=7"),
        (attn.AdditiveAttention(5, 7, 11), "d_query=5, d_key=7, d_hidden=11"),
        (attn.LocalMonotonicAttention(5, 7, 2), "d_query=5, d_key=7, half_width=2"),
        (attn.LocalPredictiveAttention(5, 7, 11, 2), "d_query=5, d_hidden=11, half_width=2"),
        (attn.FeedForward(5, 7, dropout=0.1), "d_model=5, d_hidden=7, activation='gelu', dropout=0.1"),
        (attn.PatchEmbedding(2, 3, 7), "patch_size=2, channels=3, d_model=7"),
        (attn.LearnedPositions(5, 7), "max_len=5, d=7"),
        (attn.LuongDecoder(5, 7, 3, attn.GeneralAttention(7, 3), input_feeding=False), "input_feeding=False"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_sizes(layer, said):
    assert said in repr(layer)
