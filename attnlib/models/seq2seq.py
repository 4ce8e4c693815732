"""A recurrent encoder and decoder, with each of the attentions of Bahdanau et al. and Luong et al., or with none.

    encoder  letters -> embedding -> bidirectional GRU -> memory (one state a letter), summary
    decoder  begins with the summary; a step reads its last output, its state and the memory

All kinds share everything but the attention, so that they differ in nothing else. "none" reads the summary again at
every step (Cho et al., 2014); "additive" is attnlib's `BahdanauDecoder`, the others are its `LuongDecoder` without
input feeding, so that all steps of training are one call.
"""

import torch
from torch import nn

import attnlib.torch as attn

KINDS = ("none", "additive", "global", "local-m", "local-p")


class NoAttention(nn.Module):
    """What stands where attention would: at every step the same summary of the word, and weights of zero."""

    def forward(self, query, key, *, attention_mask, return_weights=False):
        """`[b, q_len, d], [b, k_len, d] -> [b, q_len, d]`: the encoder's last state forwards, its first backwards."""
        last = attention_mask[:, 0].sum(dim=-1) - 1
        half = key.shape[-1] // 2
        forwards = key[torch.arange(len(key)), last, :half]
        summary = torch.cat([forwards, key[:, 0, half:]], dim=-1)  # [b, d]
        output = summary[:, None].expand(-1, query.shape[1], -1)
        weights = key.new_zeros(len(key), query.shape[1], key.shape[1])
        return (output, weights) if return_weights else output


class Seq2Seq(nn.Module):
    """`[b, in_len], [b], [b, out_len] -> [b, out_len, target_size]`: scores of what is written next.

    source_size, target_size: how many numbers there are to read and to write, 0 for padding included.
    kind: "none", "additive", "global" (dot products with a matrix between), "local-m" or "local-p".
    units: the width of all states, even. width: of the embeddings. half_width: of the local windows.
    Parameters are drawn from PyTorch's generator: call `torch.manual_seed` before.

    Raises ValueError for another kind and for odd units.
    """

    def __init__(self, source_size, target_size, kind, *, units=128, width=64, half_width=3):
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}: got {kind!r}")
        if units % 2:
            raise ValueError(f"units must be even, half for each direction: got {units}")
        self.read = nn.Embedding(source_size, width)
        self.encoder = nn.GRU(width, units // 2, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(units, units)
        self.write = nn.Embedding(target_size, width)
        if kind == "additive":
            self.decoder = attn.BahdanauDecoder(width, units, units, units)
            self.mix = nn.Sequential(nn.Linear(2 * units, units), nn.Tanh())
        else:
            attention = {
                "none": lambda: NoAttention(),
                "global": lambda: attn.GeneralAttention(units, units),
                "local-m": lambda: attn.LocalMonotonicAttention(units, units, half_width),
                "local-p": lambda: attn.LocalPredictiveAttention(units, units, units, half_width),
            }[kind]()
            self.decoder = attn.LuongDecoder(width, units, units, attention, input_feeding=False)
            self.mix = nn.Identity()  # this decoder's output is mixed already, eq. 5
        self.score = nn.Linear(units, target_size)

    def forward(self, source, lengths, previous, *, return_weights=False):
        """Teacher forcing. source: padded behind `lengths`. previous: what was written before each step."""
        memory, mask, state = self.encode(source, lengths)
        output, weights = self.decoder(
            self.write(previous), memory, state, memory_mask=mask, return_weights=True
        )  # [b, out_len, units], or twice as wide
        logits = self.score(self.mix(output))
        return (logits, weights) if return_weights else logits

    def encode(self, source, lengths):
        """`[b, in_len], [b] -> [b, in_len, units], [b, in_len], [b, units]`: memory, its mask, the first state."""
        packed = nn.utils.rnn.pack_padded_sequence(
            self.read(source), lengths.cpu(), batch_first=True, enforce_sorted=False
        )  # so that the backward direction begins at the last letter and not in the padding
        states, last = self.encoder(packed)  # last: [2, b, units / 2]
        memory, _ = nn.utils.rnn.pad_packed_sequence(states, batch_first=True, total_length=source.shape[1])
        mask = torch.arange(source.shape[1], device=source.device) < lengths[:, None]
        return memory, mask, torch.tanh(self.bridge(torch.cat([last[0], last[1]], dim=-1)))

    @torch.no_grad()
    def greedy(self, source, lengths, *, start, end, max_len):
        """`[b, in_len], [b] -> [b, out_len], [b, out_len, in_len]`: what it writes when it reads its own output.

        start, end: the numbers that begin and end a sequence. max_len: after so many steps it stops in any case.
        """
        memory, mask, state = self.encode(source, lengths)
        keys = {"keys": self.decoder.keys(memory)} if isinstance(self.decoder, attn.BahdanauDecoder) else {}
        number = torch.full((len(source),), start, device=source.device)
        ended = torch.zeros_like(number, dtype=torch.bool)
        numbers, weights = [], []
        for _ in range(max_len):
            output, state, seen = self.decoder.step(self.write(number), state, memory, memory_mask=mask, **keys)
            number = self.score(self.mix(output)).argmax(dim=-1)
            numbers.append(number)
            weights.append(seen)
            ended |= number == end
            if ended.all():
                break
        return torch.stack(numbers, dim=1), torch.stack(weights, dim=1)
