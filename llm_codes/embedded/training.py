"""Train a small GPT-2 from scratch on two CPU cores, resumable at any moment.

The stream of windows is a function of (seed, epoch) and the position in it a function of the step, so a checkpoint
needs no data state: model, both optimizers, the random generator and the step are all there is.

Every window is `<|endoftext|>` followed by `context - 1` consecutive tokens of one document; where the first cut falls
is drawn anew for each document and epoch. This is the form the harvest feeds a model by default, so that the model
meets at analysis what it met in training.

Axes: window, position.
"""

from __future__ import annotations

import json
import math
import pickle
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from eval.errors import StoppedError, UserError
from eval.files import is_readable, sealed_path
from eval.progress import progress
from llm_codes.configs.embedded import TrainEmbeddedConfig
from llm_codes.embedded.muon import Muon

IGNORED = -100


def build_model(config: TrainEmbeddedConfig, vocabulary: int) -> Any:
    """A `GPT2LMHeadModel` with tied embeddings and no dropout (a run sees each speech two or three times)."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary,
            n_positions=config.context,
            n_embd=config.width,
            n_layer=config.n_layers,
            n_head=config.n_heads,
            # The same function as GPT-2's `gelu_new`, in one fused kernel.
            activation_function="gelu_pytorch_tanh",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


def epoch_windows(documents: Sequence[np.ndarray], context: int, generator: np.random.Generator) -> list[np.ndarray]:
    """One epoch: every token of every document once, in shuffled windows of at most `context - 1` tokens (no BOS)."""
    length = context - 1
    windows = []
    for document in documents:
        first = int(generator.integers(1, length + 1))
        cuts = [0, *range(first, len(document), length), len(document)]
        windows += [document[a:b] for a, b in zip(cuts[:-1], cuts[1:], strict=True) if b > a]
    return [windows[i] for i in generator.permutation(len(windows))]


class WindowStream:
    """Batches of training windows, addressed by step: `stream.batch(step)` is the same in every process and restart."""

    def __init__(self, documents: Sequence[np.ndarray], config: TrainEmbeddedConfig) -> None:
        self.documents, self.config = documents, config
        self._epoch, self._first_step, self._windows = -1, 0, []

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """(inputs, targets), each [window, position]; targets are `IGNORED` where a window has ended."""
        size = self.config.batch_size
        while step >= self._first_step + len(self._windows) // size:
            self._first_step += len(self._windows) // size
            self._epoch += 1
            generator = np.random.default_rng([self.config.seed, self._epoch])
            self._windows = epoch_windows(self.documents, self.config.context, generator)
            if len(self._windows) < size:
                raise ValueError(f"expected at least {size} windows an epoch; got {len(self._windows)}")
        offset = (step - self._first_step) * size
        inputs = torch.zeros(size, self.config.context - 1, dtype=torch.long)
        targets = torch.full_like(inputs, IGNORED)
        for row, window in enumerate(self._windows[offset : offset + size]):
            tokens = torch.from_numpy(window.astype(np.int64))
            inputs[row, 1 : len(tokens)] = tokens[:-1]
            targets[row, : len(tokens)] = tokens
        return inputs, targets


def next_token_loss(model: Any, inputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats per scored token."""
    hidden = model.transformer(input_ids=inputs, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden)
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)


def build_optimizers(model: Any, config: TrainEmbeddedConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks; AdamW for embeddings, norms and biases."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and ".h." in name]
    others = [p for name, p in model.named_parameters() if not (p.ndim == 2 and ".h." in name)]
    return [
        Muon(matrices, config.matrix_learning_rate, weight_decay=config.weight_decay),
        torch.optim.AdamW(others, config.other_learning_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def learning_rate_factor(step: int, config: TrainEmbeddedConfig) -> float:
    """Linear warm-up to 1, then linear decay that would reach zero one step after the last."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    return (config.steps - step) / max(1, config.steps - config.warmup_steps)


def save_checkpoint(path: Path, step: int, model: Any, optimizers: Sequence[torch.optim.Optimizer]) -> None:
    """A kill while this writes leaves the previous checkpoint."""
    state = {
        "step": step,
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }
    with sealed_path(path) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path: Path, model: Any, optimizers: Sequence[torch.optim.Optimizer]) -> int:
    """Continue where `path` stopped; the number of steps done, 0 where there is no checkpoint."""
    if not is_readable(path):
        return 0
    try:
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
    except (RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"{path} is not a checkpoint of this recipe; delete it or pass --overwrite") from error
    return int(state["step"])


class ProgressLog:
    """`progress.jsonl`: one line every ten steps, with tokens and seconds counted over all restarts."""

    def __init__(self, path: Path, step: int) -> None:
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        self.path, self.lines = path, [line for line in lines if line["step"] <= step]
        last = self.lines[-1] if self.lines else {"tokens": 0, "seconds": 0.0}
        self.tokens, self.seconds = last["tokens"], last["seconds"]
        self._mark = time.perf_counter()
        path.write_text("".join(json.dumps(line) + "\n" for line in self.lines))

    def add(self, step: int, loss: float, tokens: int, *, write: bool) -> None:
        now = time.perf_counter()
        self.tokens, self.seconds, self._mark = self.tokens + tokens, self.seconds + now - self._mark, now
        if write:
            line = {"step": step, "loss": round(loss, 4), "tokens": self.tokens, "seconds": round(self.seconds, 2)}
            with self.path.open("a") as log:
                log.write(json.dumps(line) + "\n")


def train(documents: Sequence[np.ndarray], vocabulary: int, config: TrainEmbeddedConfig, folder: Path) -> Any:
    """Train, or continue, in `folder`: `checkpoint.pt` and `progress.jsonl` (step, nats per token, tokens, seconds).

    Args:
        documents: int32 [token] of each training document, without BOS.
        vocabulary: size of the vocabulary; token 0 is BOS.
        config: the recipe.
        folder: an existing folder.

    Returns:
        The trained `GPT2LMHeadModel`, in evaluation mode.

    Raises:
        StoppedError: the loss is no longer finite. UserError: the checkpoint belongs to another recipe.
    """
    torch.manual_seed(config.seed)
    model = build_model(config, vocabulary)
    model = model.to(config.device).train()
    optimizers = build_optimizers(model, config)
    peaks = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    first = load_checkpoint(folder / "checkpoint.pt", model, optimizers)
    stream = WindowStream(documents, config)
    log = ProgressLog(folder / "progress.jsonl", first)
    for step in progress(range(first, config.steps), label="train", unit="step"):
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * learning_rate_factor(step, config)
        inputs, targets = (part.to(config.device) for part in stream.batch(step))
        loss = next_token_loss(model, inputs, targets)
        if not math.isfinite(loss.item()):
            raise StoppedError(
                f"the loss is {loss.item()} at step {step}; expected a finite one: lower the learning rates"
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(optimizers[1].param_groups[0]["params"], 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        done, last = step + 1, step + 1 == config.steps
        log.add(done, loss.item(), int((targets != IGNORED).sum()), write=done % 10 == 0 or last)
        if done % config.checkpoint_every == 0 or last:
            save_checkpoint(folder / "checkpoint.pt", done, model, optimizers)
    return model.eval()
