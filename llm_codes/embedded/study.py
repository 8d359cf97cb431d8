"""`train-embedded`: the model that ships with the package, from text to a Hub-style folder with its card.

    documents -> split -> tokenizer -> training (resumes) -> folder `model/` -> held-out bits per byte -> card

What is measured is the folder: weights as stored, in half precision, read back.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from eval.errors import UserError
from eval.measures.statistics.resampling import bootstrap
from eval.progress import say
from eval.runs import Run
from eval.torchvision_operators import declare_missing_operators
from llm_codes.configs.embedded import TrainEmbeddedConfig
from llm_codes.documents import open_source
from llm_codes.embedded.bits_per_byte import BitsPerByte, bits_per_byte, compressor_bits_per_byte
from llm_codes.embedded.card import model_card
from llm_codes.embedded.tokenizer import train_tokenizer
from llm_codes.embedded.training import train
from llm_codes.encoding.document import Document
from llm_codes.encoding.encoder import encode

EMBEDDED_FOLDER = Path(__file__).parents[1] / "pretrained" / "gpt2-sotu"


def train_embedded(config: TrainEmbeddedConfig, run: Run) -> dict[str, Any]:
    """Train a GPT-2 on the training documents of `config.corpus`, export it, and measure it on the others.

    Returns:
        `held_out` (bits per byte with interval, window, stride, per document), `compressors`, `training`, `overlap`.

    Raises:
        UserError: too few documents to hold one out, or to fill a step; heads that do not divide the width.
    """
    declare_missing_operators()
    _check(config)
    training, held_out = split_documents(config)
    tokenizer = _tokenizer(training, config, run.path("tokenizer"))
    tokens = encode([document.text for document in training], tokenizer)
    model = train(tokens, len(tokenizer), config, run.folder)
    export(model, tokenizer, run.path("model"))
    texts = [document.text for document in held_out]
    results = {
        "held_out": run.item("held-out", lambda: measure(run.path("model"), texts, config).describe()),
        "compressors": run.item("compressors", lambda: compressor_bits_per_byte(texts)),
        "overlap": run.item("overlap", lambda: overlap([document.text for document in training], texts)),
        "training": _training_facts(run.path("progress.jsonl"), tokens, model),
    }
    results["held_out"] |= _interval(results["held_out"])
    run.write_json("model/held_out.json", results)
    run.write_text("model/README.md", model_card(_card_numbers(results, config)))
    return results


def _check(config: TrainEmbeddedConfig) -> None:
    if config.width % config.n_heads:
        raise UserError(f"expected heads that divide the width; got width {config.width} and {config.n_heads} heads")
    if not 1 <= config.stride < config.context:
        raise UserError(f"expected a stride from 1 to context - 1; got {config.stride} with context {config.context}")


def split_documents(config: TrainEmbeddedConfig) -> tuple[list[Document], list[Document]]:
    """(training, held out): every tenth document is held out, by date for `sotu`."""
    source = open_source(
        config.corpus, document_separator=config.document_separator, text_column=config.text_column, seed=config.seed
    )
    if source.streamed:
        raise UserError(f"{config.corpus} is streamed and may not end; train-embedded needs a local file or folder")
    documents = [document for document in source.documents if document.text.strip()]
    training = [document for document in documents if not document.held_out]
    held_out = [document for document in documents if document.held_out]
    if not training or not held_out:
        raise UserError(
            f"{config.corpus} has {len(documents)} documents, {len(held_out)} of them held out; "
            "expected some on either side: give more documents, or split the file with --document-separator"
        )
    return training, held_out


def _tokenizer(training: Sequence[Document], config: TrainEmbeddedConfig, folder: Path) -> Any:
    """The run's tokenizer: trained once, then read back (what the bridge needs is written by `save_pretrained`)."""
    from transformers import PreTrainedTokenizerFast

    if not folder.exists():
        texts = (document.text for document in training)
        tokenizer = train_tokenizer(texts, vocabulary=config.vocabulary, context=config.context)
        if len(tokenizer) < config.vocabulary:
            say(f"vocabulary: {len(tokenizer):,} tokens used of {config.vocabulary:,} asked for: the text has no more")
        partial = folder.with_name(".tokenizer.partial")
        tokenizer.save_pretrained(partial)
        partial.rename(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def export(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a Hub-style folder: float16 weights, a configuration that asks for float32, the tokenizer."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    tokenizer.save_pretrained(partial)
    _rewrite_json(partial / "tokenizer_config.json", drop=("is_local", "local_files_only"))
    model.config.save_pretrained(partial)
    architecture = {"architectures": [type(model).__name__], "activation_function": "gelu_new", "dtype": "float32"}
    _rewrite_json(partial / "config.json", **architecture)
    tied = {"lm_head.weight"}
    weights = {name: value.half().cpu().contiguous() for name, value in model.state_dict().items() if name not in tied}
    (partial / "model.safetensors").write_bytes(safetensors.torch.save(weights, metadata={"format": "pt"}))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _rewrite_json(path: Path, drop: Sequence[str] = (), **values: Any) -> None:
    content = {name: value for name, value in json.loads(path.read_text()).items() if name not in drop} | values
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def measure(folder: Path, texts: Sequence[str], config: TrainEmbeddedConfig) -> BitsPerByte:
    """Bits per byte of an exported folder, in float32."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = model.to(config.device).eval()
    return bits_per_byte(
        lambda tokens: model(input_ids=tokens, use_cache=False).logits,
        AutoTokenizer.from_pretrained(folder),
        texts,
        window=config.context,
        stride=config.stride,
        device=config.device,
    )


def overlap(training: Sequence[str], held_out: Sequence[str], length: int = 13) -> float:
    """The share of the held-out sequences of `length` words that also occur in a training document."""

    def sequences(text: str) -> list[int]:
        words = text.split()
        return [hash(tuple(words[start : start + length])) for start in range(len(words) - length + 1)]

    seen = {sequence for text in training for sequence in sequences(text)}
    found = [sequence in seen for text in held_out for sequence in sequences(text)]
    return float(np.mean(found)) if found else 0.0


def _interval(held_out: dict[str, Any]) -> dict[str, Any]:
    """A 95% interval of the total, over documents."""
    n_bytes = np.array(held_out["bytes_per_document"], dtype=float)
    bits = np.array(held_out["per_document"]) * n_bytes
    score = bootstrap(lambda weights: (weights @ bits) / np.maximum(weights @ n_bytes, 1), len(bits))
    return {"low": score.low, "high": score.high, "interval_reason": score.interval_reason}


def _training_facts(log: Path, tokens: Sequence[np.ndarray], model: Any) -> dict[str, Any]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    counts, seconds = (np.array([0, *(line[name] for line in lines)]) for name in ("tokens", "seconds"))
    rates = np.diff(counts) / np.maximum(np.diff(seconds), 1e-9)
    last, n_tokens = lines[-1], sum(map(len, tokens))
    return {
        "n_documents": len(tokens),
        "n_tokens": n_tokens,
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": last["tokens"] / n_tokens,
        "minutes": last["seconds"] / 60,
        "tokens_per_second": last["tokens"] / max(last["seconds"], 1e-9),
        "best_tokens_per_second": float(np.percentile(rates, 90)),
        "threads": torch.get_num_threads(),
    }


def _card_numbers(results: dict[str, Any], config: TrainEmbeddedConfig) -> dict[str, Any]:
    training, held_out = results["training"], results["held_out"]
    return {
        **dataclasses.asdict(config),
        **{name: held_out[name] for name in ("bits_per_byte", "low", "high", "n_bytes", "window", "stride")},
        **training,
        "n_training": training["n_documents"],
        "n_training_tokens": training["n_tokens"],
        "n_held_out": held_out["n_documents"],
        "compressors": results["compressors"],
        "overlap": results["overlap"],
        "least_context": config.context - 1 - config.stride,
        "text_length": config.context - 1,
        "command": " ".join(["python -m llm_codes train-embedded", *_flags(config)]),
    }


def _flags(config: TrainEmbeddedConfig) -> list[str]:
    """A folder, the seed, and what is not at its default (but no path of this machine for the folder)."""
    chosen = {"out": "runs/gpt2-sotu", "seed": config.seed}
    for field in dataclasses.fields(config):
        if field.metadata.get("identity", True) and getattr(config, field.name) != field.default:
            chosen[field.name] = getattr(config, field.name)
    return [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in chosen.items()]
