"""The training loop: several dictionaries from the same activations, killed and continued without a trace.

    # 1 scale     the first block fixes each site's scale (mean norm = sqrt(width)) and the initial decoder bias (mean)
    # 2 step      every dictionary takes the same tokens; a batch that is not finite is skipped and counted, or stops
    # 3 log       one JSON line per interval: loss, L0, FVU, dead share, tokens per second
    # 4 save      one safetensors file per checkpoint, written beside and renamed; the last few are kept

The place in the stream is (block, batch within the block), and a block is a function of its number, so that a
checkpoint holds no data and a continued run is bit-equal to an uninterrupted one on the CPU.
SIGTERM saves, then leaves.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eval.errors import StoppedError, UserError
from eval.progress import progress_bar, say
from eval.wandb_logging import wandb_log
from llm_codes.configs.saes import TrainingOptions
from llm_codes.lenses.saes.training.checkpoints import Checkpoints, Place
from llm_codes.lenses.saes.training.specification import Spec
from llm_codes.lenses.saes.training.trainers import Trained, under_training

MAXIMUM_SKIPPED_IN_A_ROW = 20


@dataclass
class Training:
    """A run under way in `folder`; `run()` trains or continues it to the end and returns the dictionaries."""

    stream: Any
    specs: Sequence[Spec]
    folder: Path
    options: TrainingOptions = field(default_factory=TrainingOptions)
    device: str = "cpu"
    every_step: Callable[[int], None] | None = None

    def run(self) -> list[Trained]:
        """Train to the last step.

        Raises:
            UserError: hooks or widths that do not fit the activations (before the first step), a checkpoint of another
                configuration. StoppedError: a non-finite batch under `on_nan="stop"`, too many of them in a row.
        """
        total = self.options.total_steps
        self.saes = [under_training(spec, self.options, self.device) for spec in self.specs]
        self.place = Place()
        self._terminated = False
        self.folder.mkdir(parents=True, exist_ok=True)
        self._kept = Checkpoints(self.folder, self.specs, self.options, self.device)
        continued = self._kept.restore(self.saes, self.place)
        words = {"saes": [spec.as_json() for spec in self.specs], **vars(self.options)}
        with (
            wandb_log(self.options.wandb, words) as self._log_also,
            self._on_sigterm(),
            progress_bar(label="train", total=self.options.tokens, unit="tok") as bar,
        ):
            bar.update(self.place.step * self.options.train_batch_size)
            self._started, self._first = time.perf_counter(), self.place.step
            while self.place.step < total:
                block = dict(self.stream.block(self.place.block))
                if not continued and self.place.block == 0:
                    self._check(block)
                    for sae in self.saes:
                        sae.start(block)
                self._train_block(block, bar)
        for sae in self.saes:
            sae.tokens = self.place.step * self.options.train_batch_size
        return self.saes

    def _check(self, block: dict[str, Tensor]) -> None:
        """Hooks, widths and the number of tokens, before the first step."""
        for spec in self.specs:
            for hook, width in spec.places:
                if hook not in block:
                    raise UserError(
                        f"expected activations at {hook}; the stream gives {', '.join(block)}; add that site"
                    )
                if block[hook].shape[1] != width:
                    raise UserError(
                        f"expected activations {width} wide at {hook}; got {block[hook].shape[1]}; "
                        "take the width of the site"
                    )
        n_tokens = len(next(iter(block.values())))
        if n_tokens < self.options.train_batch_size:
            raise UserError(
                f"expected at least one batch of {self.options.train_batch_size} tokens per block; got {n_tokens}; "
                f"lower --train-batch-size to {n_tokens} or give larger blocks"
            )

    def _train_block(self, block: dict[str, Tensor], bar: Any) -> None:
        size = self.options.train_batch_size
        n_batches = len(next(iter(block.values()))) // size
        while self.place.batch < n_batches and self.place.step < self.options.total_steps:
            rows = slice(self.place.batch * size, (self.place.batch + 1) * size)
            self._step({hook: activations[rows] for hook, activations in block.items()})
            bar.update(size)
        if self.place.batch >= n_batches:
            self.place.block, self.place.batch = self.place.block + 1, 0

    def _step(self, batch: dict[str, Tensor]) -> None:
        finite = all(bool(torch.isfinite(activations).all()) for activations in batch.values())
        measured = [sae.step(batch) for sae in self.saes] if finite else []
        self.place.batch += 1
        lost = [any(row["loss"] != row["loss"] for row in rows) for rows in measured]
        diverged = [sae.spec.name for sae, nan in zip(self.saes, lost, strict=False) if nan]
        if not finite or diverged:
            self._skip(diverged)
            return
        self.place.skipped_in_a_row = 0
        self.place.step += 1
        last = self.place.step == self.options.total_steps
        if last or self.place.step % self.options.log_every == 0:
            self._log(measured)
        if last or self._terminated or self.place.step % self.options.checkpoint_every == 0:
            self._kept.save(self.saes, self.place)
        if self._terminated:
            say(f"terminated at step {self.place.step}: saved; run the same command to continue")
            raise SystemExit(143)
        if self.every_step is not None:
            self.every_step(self.place.step)

    def _skip(self, diverged: list[str]) -> None:
        """A batch, or the step of the dictionaries named, is not finite: count it or stop.

        The weights are those before it either way.
        """
        self.place.skipped += 1
        self.place.skipped_in_a_row += 1
        where = f"block {self.place.block}, batch {self.place.batch - 1}"
        if self.options.on_nan == "skip" and self.place.skipped_in_a_row <= MAXIMUM_SKIPPED_IN_A_ROW:
            return
        self._kept.save(self.saes, self.place)
        row = self.place.skipped_in_a_row
        often = f" ({row} in a row)" if row > 1 else ""
        if diverged:
            raise StoppedError(
                f"expected a finite loss and gradient; got NaN or infinity from {', '.join(diverged)} on finite "
                f"activations in {where}{often}; the last good weights are kept; lower --learning-rate and start again "
                "with --overwrite"
            )
        raise StoppedError(
            f"expected finite activations; got NaN or infinity in {where}{often}; the last good weights are kept; "
            "check the model, or use --dtype float32"
        )

    def _log(self, measured: list[list[dict[str, float]]]) -> None:
        seconds = time.perf_counter() - self._started
        rate = (self.place.step - self._first) * self.options.train_batch_size / max(seconds, 1e-9)
        lines = []
        names = [name for sae in self.saes for name in sae.spec.rows]
        for name, values in zip(names, [row for rows in measured for row in rows], strict=True):
            line = {"step": self.place.step, "sae": name, **{k: round(v, 6) for k, v in values.items()}}
            lines.append({**line, "skipped_batches": self.place.skipped, "tokens_per_second": round(rate)})
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as log:
            log.writelines(json.dumps(line) + "\n" for line in lines)
        also = {f"{line['sae']}/{key}": value for line in lines for key, value in line.items() if key != "sae"}
        self._log_also(also, step=self.place.step)

    @contextlib.contextmanager
    def _on_sigterm(self) -> Iterator[None]:
        """Set a flag; the loop saves at the end of the step under way."""

        def note(number: int, frame: Any) -> None:
            self._terminated = True

        try:
            before = signal.signal(signal.SIGTERM, note)
        except ValueError:  # not in the main thread: signals are someone else's business
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
