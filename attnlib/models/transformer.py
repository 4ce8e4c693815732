"""The transformer of Vaswani et al. (2017), encoder and decoder, from attnlib's blocks.

    encoder   x = sqrt(d) E[source] + P       each block attends to x itself
              memory = LN(x)
    decoder   y = sqrt(d) E'[previous] + P    each block attends to y so far, then to memory
              logits = LN(y) W + b

E and E' are tables with a learned vector for each number, P are the positions, LN is a layer norm.
The last norms are those of pre-norm blocks, whose sums nothing else normalises; post-norm blocks end in one already.
"""

import torch
from torch import nn

import attnlib.torch as attn

POSITIONS = ("none", "sinusoidal", "rotary")


class Transformer(nn.Module):
    """`[b, in_len], [b], [b, out_len] -> [b, out_len, target_size]`: scores of what is written next.

    source_size, target_size: how many numbers there are to read and to write.
    depth: blocks of the encoder, and of the decoder. norm: "pre" or "post", see `attnlib.torch.EncoderBlock`.
    positions: "sinusoidal", in both; "rotary", which turns queries and keys in the encoder by their places, so that it
    sees distances, while the decoder keeps its sines; or "none".
    Parameters are drawn from PyTorch's generator: call `torch.manual_seed` before.

    Raises ValueError for other positions, and for what the blocks do not take.
    Source: Vaswani et al. (2017), sections 3.1, 3.4 and 3.5; pre-norm: Xiong et al. (2020); rotary: Su et al. (2021).
    """

    def __init__(
        self,
        source_size,
        target_size,
        *,
        d_model=32,
        num_heads=4,
        d_hidden=64,
        depth=2,
        norm="pre",
        positions="sinusoidal",
    ):
        super().__init__()
        if positions not in POSITIONS:
            raise ValueError(f"positions must be one of {', '.join(POSITIONS)}: got {positions!r}")
        self.positions = positions
        self.read = nn.Embedding(source_size, d_model)
        self.write = nn.Embedding(target_size, d_model)
        for table in (self.read, self.write):
            nn.init.normal_(table.weight, std=d_model**-0.5)
        turned = "halves" if positions == "rotary" else None
        sizes = (d_model, num_heads, d_hidden)
        self.encoder = nn.ModuleList(attn.EncoderBlock(*sizes, norm=norm, rotary=turned) for _ in range(depth))
        self.decoder = nn.ModuleList(attn.DecoderBlock(*sizes, norm=norm) for _ in range(depth))
        self.encoder_norm = nn.LayerNorm(d_model) if norm == "pre" else nn.Identity()
        self.decoder_norm = nn.LayerNorm(d_model) if norm == "pre" else nn.Identity()
        self.score = nn.Linear(d_model, target_size)

    def embed(self, table, numbers, waves, start=0):
        """`[b, length] -> [b, length, d_model]`, with the sines of the positions from `start` on added if asked for."""
        x = table(numbers) * table.embedding_dim**0.5
        if waves:
            length = start + numbers.shape[1]
            x = x + attn.sinusoidal_positions(length, x.shape[-1], dtype=x.dtype, device=x.device)[start:]
        return x

    def encode(self, source, lengths):
        """`[b, in_len], [b] -> [b, in_len, d_model], [b, 1, in_len]`: the memory, and the mask of what is real."""
        mask = attn.padding_mask(lengths, source.shape[1])
        x = self.embed(self.read, source, self.positions == "sinusoidal")
        for block in self.encoder:
            x = block(x, attention_mask=mask)
        return self.encoder_norm(x), mask

    def decode(self, previous, memory, mask, *, caches=None, return_weights=False):
        """`[b, n], [b, in_len, d_model], [b, 1, in_len] -> [b, n, target_size]`: what comes after each of the n.

        caches: a `KVCache` for each block; `previous` then goes on where they end, and they grow by it.
        return_weights: return `(logits, weights)`, those of the last block's cross-attention, `[b, heads, n, in_len]`.
        """
        caches = caches or [None] * len(self.decoder)
        start = caches[0].length if caches[0] is not None else 0
        y = self.embed(self.write, previous, self.positions != "none", start)
        for block, cache in zip(self.decoder, caches, strict=True):
            y, (_, weights) = block(y, memory, cross_attention_mask=mask, cache=cache, return_weights=True)
        logits = self.score(self.decoder_norm(y))
        return (logits, weights) if return_weights else logits

    def forward(self, source, lengths, previous, *, return_weights=False):
        """Teacher forcing. source: padded behind `lengths`. previous: what was written before each step."""
        return self.decode(previous, *self.encode(source, lengths), return_weights=return_weights)

    @torch.no_grad()
    def greedy(self, source, lengths, *, start, end, max_len):
        """`[b, in_len], [b] -> [b, out_len]`: always the likeliest next number, step by step, with caches.

        start, end: the numbers that begin and end a sequence. max_len: after so many steps it stops in any case.
        """
        memory, mask = self.encode(source, lengths)
        caches = [attn.KVCache() for _ in self.decoder]
        last = torch.full((len(source), 1), start, device=source.device)
        written = []
        for _ in range(max_len):
            last = self.decode(last, memory, mask, caches=caches).argmax(dim=-1)  # [b, 1]
            written.append(last)
            if (torch.cat(written, dim=1) == end).any(dim=1).all():
                break
        return torch.cat(written, dim=1)
