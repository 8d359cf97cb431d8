"""Activations for training, block by block: one forward pass feeds every dictionary, token-aligned.

Two sources: a model and a text, or a store of its activations (`ActivationStream`: the same blocks either way), or
arrays that somebody has, in memory or on disk (`ArrayStream`).

A block is a fixed set of windows, so that block `n` is the same in every process and after every restart; tokens are
shuffled within it, and windows (of all documents) are shuffled anew every epoch. Axes: token, width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from eval.errors import UserError
from llm_codes.activation_source import ActivationSource
from llm_codes.corpus import Corpus
from llm_codes.harvest import keep_mask


class Stream(Protocol):
    """Anything that gives numbered blocks of aligned activations, each [token width], by hook name."""

    def block(self, number: int) -> Mapping[str, Float[Tensor, "token width"]]: ...


class ActivationStream:
    """Blocks of a model's activations on a corpus, computed or read from a store; one block is held.

    hooks: hook names read in the same pass. windows: windows per block. Position 0 is left out (see `harvest`).
    """

    def __init__(
        self,
        model: ActivationSource,
        corpus: Corpus,
        hooks: Sequence[str],
        *,
        windows: int = 64,
        batch_size: int = 16,
        exclude_positions: int = 1,
        seed: int = 0,
    ) -> None:
        if windows < 1:
            raise UserError(f"expected windows per block (--block-windows) of at least 1; got {windows}; raise it")
        if not len(corpus):
            raise UserError("expected a corpus with at least one window; got none; raise --tokens or choose --corpus")
        self.model, self.corpus, self.hooks = model, corpus, list(dict.fromkeys(hooks))
        self.windows = min(windows, len(corpus))
        self.batch_size, self.exclude_positions, self.seed = batch_size, exclude_positions, seed
        model.check_hooks(self.hooks)

    @property
    def blocks_per_epoch(self) -> int:
        return max(1, len(self.corpus) // self.windows)

    def check_batch(self, batch_size: int) -> None:
        """A block holds at least one batch; told from the text alone, before anything runs.

        Raises:
            UserError: it does not; the text says which of the three numbers helps.
        """
        order = np.random.default_rng([self.seed, 0]).permutation(len(self.corpus))[: self.windows]
        held = int(self.corpus.mask[order][:, self.exclude_positions :].sum())
        if held >= batch_size:
            return
        needed = -(-batch_size * self.windows // max(1, held))
        advice = f"set --block-windows to {needed}" if needed <= len(self.corpus) else "raise --tokens"
        raise UserError(
            f"expected at least one batch of {batch_size} tokens per block; {self.windows} windows hold {held}; "
            f"{advice}, or lower --train-batch-size to {held}"
        )

    def block(self, number: int) -> dict[str, Float[Tensor, "token width"]]:
        """Block `number`, in shuffled order."""
        epoch, place = divmod(number, self.blocks_per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.corpus))
        part = self.corpus.select(order[place * self.windows : (place + 1) * self.windows])
        kept: dict[str, list[Tensor]] = {hook: [] for hook in self.hooks}
        for batch in part.batches(self.batch_size):
            activations: dict[str, Tensor] = {}
            self.model.stream_batch(batch, self.hooks, activations.__setitem__)
            keep = keep_mask(batch, self.exclude_positions).to(self.model.device)
            for hook in self.hooks:
                kept[hook].append(activations[hook][keep].float())
        n_tokens = sum(map(len, kept[self.hooks[0]]))
        shuffle = torch.from_numpy(np.random.default_rng([self.seed, 1, number]).permutation(n_tokens))
        return {hook: torch.cat(parts)[shuffle.to(self.model.device)] for hook, parts in kept.items()}


class ArrayStream:
    """Blocks of activations that are there already: arrays, tensors or memory maps of equal length, by hook name.

    rows: tokens per block. Which rows make a block, and their order in it, is drawn anew every epoch; a block is a
    function of its number. Row n of every array is the same token. Only one block is copied into memory.
    """

    def __init__(self, activations: Mapping[str, Any], *, rows: int = 16_384, seed: int = 0) -> None:
        """Raises UserError for no array, arrays that are not [token width], of no rows, or of different lengths."""
        for hook, array in activations.items():
            if getattr(array, "ndim", 0) != 2 or not len(array):
                shape = tuple(getattr(array, "shape", ()))
                raise UserError(
                    f"expected activations [token width] at {hook}; got shape {shape}; give one row a token"
                )
        lengths = {hook: len(array) for hook, array in activations.items()}
        if len(set(lengths.values())) != 1:
            got = ", ".join(f"{hook}: {length}" for hook, length in lengths.items()) or "none"
            raise UserError(f"expected arrays of the same tokens; got rows {got}; give every array the same rows")
        self.activations, self.hooks, self.seed = activations, list(activations), seed
        self.n_tokens = next(iter(lengths.values()))
        self.rows = min(rows, self.n_tokens)

    @property
    def blocks_per_epoch(self) -> int:
        return max(1, self.n_tokens // self.rows)

    def check_batch(self, batch_size: int) -> None:
        """A block holds at least one batch.

        Raises:
            UserError: it does not.
        """
        if self.rows < batch_size:
            raise UserError(
                f"expected at least one batch of {batch_size} tokens; got {self.rows}; give more activations, or lower "
                f"train_batch_size to {self.rows}"
            )

    def block(self, number: int) -> dict[str, Float[Tensor, "token width"]]:
        """Block `number`, in shuffled order, as float32 on the CPU."""
        epoch, place = divmod(number, self.blocks_per_epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.n_tokens)
        rows = np.sort(order[place * self.rows : (place + 1) * self.rows])  # in order: a memory map reads forwards
        shuffle = np.random.default_rng([self.seed, 1, number]).permutation(len(rows))
        return {hook: _rows_of(array, rows)[torch.from_numpy(shuffle)] for hook, array in self.activations.items()}


def _rows_of(array: Any, rows: np.ndarray) -> Float[Tensor, "token width"]:
    if isinstance(array, Tensor):
        return array.detach().cpu()[torch.from_numpy(rows)].float()
    return torch.from_numpy(np.array(array[rows], dtype=np.float32))
