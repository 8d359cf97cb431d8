"""The model card of the embedded model, written from the numbers of the run that trained it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CARD = """---
license: mit
language: en
library_name: transformers
pipeline_tag: text-generation
---

# gpt2-sotu

A small GPT-2, trained from scratch on {corpus_words}.
It ships with `neural-codes` so that every measure can be tried on a real, trained language model with no download. It
is a specimen to read codes in, not a source of facts or of good prose.

- `GPT2LMHeadModel`: {n_layers} layers, width {width}, {n_heads} heads, context {context}, {n_parameters:,} parameters,
  tied embeddings.
- Tokenizer: byte-level BPE of {vocabulary} tokens, learned on the training documents only. `<|endoftext|>` (id 0) is
  BOS and EOS; start every text with it.
- Weights are stored in float16; `config.json` asks for float32, in which they are to be used.

## Held-out bits per byte

Every tenth document{order} is held out: {n_held_out} documents, {n_bytes:,} bytes, every byte scored once. Windows of
{window} tokens (BOS and text of one document) move by {stride}: past the first window, each token is predicted from at
least {least_context} tokens before it.

| | bits per byte, held out |
|---|---|
| **this model** | **{bits_per_byte:.3f}** {interval} |
{compressors}

Lower is better; all are lossless code lengths of the same text (without the model's weights). Of the held-out sequences
of 13 words, {overlap:.1%} also occur in a training document.

## Recipe

{n_training} training documents, {n_training_tokens:,} tokens; seed {seed}; {steps} steps of {batch_size} windows
({epochs:.1f} passes over the text), float32. Every window is BOS and up to {text_length} consecutive tokens of one
document, cut anew at each pass. The matrices of the blocks are trained by Muon (learning rate {matrix_learning_rate},
momentum 0.95, weight decay {weight_decay}); embeddings, norms and biases by AdamW ({other_learning_rate}, betas 0.9 and
0.95). Warm-up of {warmup_steps} steps, then a linear decay to zero; no dropout. Training took {minutes:.0f} minutes of
wall time with {threads} threads: {tokens_per_second:,.0f} tokens a second over all, with whatever else the machine did,
and {best_tokens_per_second:,.0f} in its best tenth.

To train it again (the same command continues after an interruption):

    {command}
"""


def model_card(numbers: Mapping[str, Any]) -> str:
    """The README of the exported folder. Raises `KeyError` where a number it states is missing."""
    compressors = "\n".join(f"| `{name}` | {value:.2f} |" for name, value in numbers["compressors"].items())
    low, high = numbers["low"], numbers["high"]
    interval = "" if low is None else f"(95% interval over documents: {low:.3f} to {high:.3f})"
    sotu = numbers["corpus"] == "sotu"
    words = "the State of the Union messages of 1790 to 2026 (package `sotu`, after the American Presidency Project)"
    return CARD.format(
        **{key: value for key, value in numbers.items() if key != "compressors"},
        compressors=compressors,
        interval=interval,
        corpus_words=words if sotu else "a text corpus",
        order=" by date" if sotu else ", by the hash of its text,",
    )
