"""How well does a model predict a text, in a unit that does not depend on its tokenizer?

    bits per byte = - sum_t log2 p(token_t | tokens before it) / bytes of the text        (lower is better)

Every byte is scored exactly once, by a sliding window: a window holds BOS and `window - 1` tokens of one document, and
moves by `stride`; only the tokens that no earlier window scored count. So each token past the first window is predicted
from at least `window - 1 - stride` tokens before it. A compressor's bits per byte on the same text are comparable: both
are lengths of a lossless code for it (the model's without its weights).

Axes: window; position; document.
"""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.progress import progress_bar
from llm_codes.encoding.encoder import encode


@dataclass(frozen=True)
class BitsPerByte:
    """Code lengths of documents under a model. bits: float64 [document]; n_bytes, n_tokens: int64 [document]."""

    bits: np.ndarray
    n_bytes: np.ndarray
    n_tokens: np.ndarray
    window: int
    stride: int

    @property
    def value(self) -> float:
        """Total bits over total bytes: long documents weigh more than short ones."""
        return float(self.bits.sum() / self.n_bytes.sum())

    def describe(self) -> dict[str, Any]:
        return {
            "bits_per_byte": self.value,
            "n_documents": len(self.bits),
            "n_bytes": int(self.n_bytes.sum()),
            "n_tokens": int(self.n_tokens.sum()),
            "window": self.window,
            "stride": self.stride,
            "per_document": (self.bits / self.n_bytes).tolist(),
            "bytes_per_document": self.n_bytes.tolist(),
        }


def scored_windows(n_tokens: int, window: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """(start, stop, first scored) of each window over a document's tokens; the scored spans partition the document."""
    length = window - 1
    if not 1 <= stride <= length:
        raise ValueError(f"expected 1 <= stride <= window - 1; got stride={stride}, window={window}")
    scored, start = 0, 0
    while scored < n_tokens:
        stop = min(start + length, n_tokens)
        yield start, stop, scored
        scored, start = stop, start + stride


@torch.no_grad()
def bits_per_byte(
    next_token_logits: Callable[[Tensor], Tensor],
    tokenizer: Any,
    texts: Sequence[str],
    *,
    window: int,
    stride: int,
    batch_size: int = 16,
    device: str = "cpu",
) -> BitsPerByte:
    """Score every byte of `texts`.

    Args:
        next_token_logits: int64 [window, position] to float [window, position, vocabulary]; causal.
        tokenizer: must give back each text exactly from its tokens, and have a BOS token.
        texts: documents; nothing carries over from one to the next.
        window: positions in a forward pass, BOS included.
        stride: how far the window moves; smaller gives more context, and costs more.
        batch_size: windows in a forward pass; does not change the value.
        device: where the tokens are put.

    Raises:
        ValueError: a text that its tokens do not give back (its bytes would not all be scored), or that is empty.
    """
    tokens = encode(texts, tokenizer)
    for text, ids in zip(texts, tokens, strict=True):
        if not text or tokenizer.decode(ids.tolist(), clean_up_tokenization_spaces=False) != text:
            raise ValueError(
                f"the tokens do not give back the text that begins {text[:40]!r}: not every byte is scored"
            )
    jobs = [(number, *span) for number, ids in enumerate(tokens) for span in scored_windows(len(ids), window, stride)]
    bits = np.zeros(len(texts))
    with progress_bar(label="bits per byte", total=len(jobs), unit="window") as bar:
        for first in range(0, len(jobs), batch_size):
            batch = jobs[first : first + batch_size]
            nats = _window_nats(next_token_logits, tokenizer.bos_token_id, tokens, batch, device)
            np.add.at(bits, [job[0] for job in batch], nats / np.log(2))
            bar.update(len(batch))
    n_bytes = np.array([len(text.encode()) for text in texts])
    return BitsPerByte(bits, n_bytes, np.array([len(ids) for ids in tokens]), window, stride)


def _window_nats(
    next_token_logits: Callable[[Tensor], Tensor],
    bos: int,
    tokens: Sequence[np.ndarray],
    jobs: Sequence[tuple[int, int, int, int]],
    device: str,
) -> np.ndarray:
    """Minus the log-probability of each window's scored tokens, summed, float64 [window]."""
    width = max(stop - start for _, start, stop, _ in jobs)
    inputs = torch.full((len(jobs), width), bos, dtype=torch.long)
    targets = torch.zeros_like(inputs)
    scored = torch.zeros(inputs.shape, dtype=torch.bool)
    for row, (number, start, stop, first) in enumerate(jobs):
        piece = torch.from_numpy(tokens[number][start:stop].astype(np.int64))
        inputs[row, 1 : len(piece)] = piece[:-1]
        targets[row, : len(piece)] = piece
        scored[row, first - start : stop - start] = True
    scored, targets = scored.to(device), targets.to(device)
    logits = next_token_logits(inputs.to(device))[scored].float()
    nats = torch.zeros(inputs.shape, dtype=torch.float64, device=device)
    nats[scored] = torch.nn.functional.cross_entropy(logits, targets[scored], reduction="none").double()
    return nats.sum(dim=1).cpu().numpy()


def compressor_bits_per_byte(texts: Sequence[str]) -> dict[str, float]:
    """`bzip2 -9` and `xz -9` on the documents joined by blank lines, as one stream each."""
    content = "\n\n".join(texts).encode()
    sizes = {"bzip2 -9": len(bz2.compress(content, 9)), "xz -9": len(lzma.compress(content, preset=9))}
    return {name: 8 * size / len(content) for name, size in sizes.items()}
