"""Recurrent decoders as citizens of PyTorch: compiled in one graph, under autocast, saved and loaded."""

import io

import pytest
import torch

import attnlib.torch as attn

FRAMEWORK = "torch"
MASK = torch.arange(7) < torch.tensor([[5], [7]])
MAKE = {
    "bahdanau": lambda: attn.BahdanauDecoder(6, 3, 5, 8, seed=0),
    "general": lambda: attn.LuongDecoder(6, 3, 5, attn.GeneralAttention(3, 5, seed=1), input_feeding=False, seed=0),
    "general, fed": lambda: attn.LuongDecoder(6, 3, 5, attn.GeneralAttention(3, 5, seed=1), seed=0),
    "local-m": lambda: attn.LuongDecoder(6, 3, 5, attn.LocalMonotonicAttention(3, 5, 2, seed=1), seed=0),
    "local-p": lambda: attn.LuongDecoder(6, 3, 5, attn.LocalPredictiveAttention(3, 5, 8, 2, seed=1), seed=0),
}
each = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


def arrays(out_len=4):
    torch.manual_seed(0)
    return torch.randn(2, out_len, 6), torch.randn(2, 7, 5), torch.randn(2, 3)


def test_compiled_in_one_graph():
    """Several decoders in one function, of two steps, since what takes time here is to trace them."""
    decoders = [MAKE[name]() for name in ("bahdanau", "general", "local-p")]

    def everything(*tensors):
        return torch.cat([decoder(*tensors, memory_mask=MASK) for decoder in decoders], dim=-1)

    compiled = torch.compile(everything, fullgraph=True, backend="eager")
    parameters = [p for decoder in decoders for p in decoder.parameters()]
    results = [
        (output := f(*arrays(2)), *torch.autograd.grad(output.square().sum(), parameters))
        for f in (compiled, everything)
    ]
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two)
        assert one.abs().sum() > 0


def test_compiled_for_sequences_of_any_length():
    decoder = MAKE["general"]()
    compiled = torch.compile(lambda *tensors: decoder(*tensors), fullgraph=True, backend="eager")
    for out_len in (4, 2, 5):
        torch.testing.assert_close(compiled(*arrays(out_len)), decoder(*arrays(out_len)))


@pytest.mark.parametrize("mixed", [False, True])
@each
def test_under_autocast_in_half_precision(make, mixed):
    """As in a model: embeddings are float32, an encoder's states may be in half precision."""
    decoder = make()
    inputs, memory, state = arrays()
    exact = decoder(inputs, memory, state, memory_mask=MASK)
    with torch.autocast("cpu", torch.bfloat16):
        given = (inputs, memory.bfloat16(), state.bfloat16()) if mixed else (inputs, memory, state)
        got = decoder(*given, memory_mask=MASK)
        steps = []
        for x in given[0].unbind(1):
            output, state, _ = decoder.step(x, state, given[1], memory_mask=MASK)
            steps.append(output)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), exact, rtol=0.03, atol=0.03)
    torch.testing.assert_close(torch.stack(steps, dim=1).float(), exact, rtol=0.03, atol=0.03)
    got.float().square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.dtype == torch.float32 for p in decoder.parameters())


def test_outside_autocast_two_types_are_still_an_error():
    inputs, memory, _ = arrays()
    for make in (MAKE["bahdanau"], MAKE["general"]):
        with pytest.raises(ValueError, match="inputs and memory must have the same dtype, got inputs float32, memory"):
            make()(inputs, memory.bfloat16())
        with pytest.raises(ValueError, match="inputs and the decoder's parameters must have the same dtype"):
            make()(inputs.double(), memory.double())


@each
def test_saved_and_loaded(make):
    decoder, other = make(), make()
    for p in other.parameters():
        torch.nn.init.zeros_(p)
    torch.save(decoder.state_dict(), file := io.BytesIO())
    file.seek(0)
    other.load_state_dict(torch.load(file))
    torch.testing.assert_close(other(*arrays()), decoder(*arrays()), rtol=0, atol=0)


def test_a_seed_leaves_pytorchs_own_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    for make in MAKE.values():
        make()
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_without_input_feeding_the_states_are_those_of_nn_gru_and_attention_is_called_once():
    decoder, queries = MAKE["general"](), []
    decoder.attention.register_forward_hook(lambda _, arguments, output: queries.append(arguments[0]))
    inputs, memory, state = arrays()
    decoder(inputs, memory, state)
    theirs = torch.nn.GRU(6, 3, batch_first=True)
    theirs.load_state_dict({f"{name}_l0": p for name, p in decoder.gru.state_dict().items()})
    assert len(queries) == 1
    torch.testing.assert_close(queries[0], theirs(inputs, state[None])[0])


def test_keys_are_computed_once():
    decoder, calls = MAKE["bahdanau"](), []
    keys = decoder.keys
    decoder.keys = lambda memory: calls.append("keys") or keys(memory)
    decoder(*arrays())
    assert calls == ["keys"]
