"""What `python -m llm_codes train-embedded` can be told."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import RunConfig, option


@dataclass(frozen=True, kw_only=True)
class TrainEmbeddedConfig(RunConfig):
    """Train the embedded model `gpt2-sotu` from scratch, or continue; the defaults reproduce the shipped weights."""

    corpus: str = option("sotu", "what to train on: any corpus; every tenth document is held out")
    document_separator: str = option("", "regular expression that splits a text file into documents")
    text_column: str = option("text", "column of JSONL, Parquet and Hub rows that holds the text")
    n_layers: int = option(6, "transformer blocks")
    width: int = option(192, "width of the residual stream")
    n_heads: int = option(6, "attention heads; they divide the width")
    vocabulary: int = option(4096, "tokens of the byte-level BPE")
    context: int = option(256, "positions in a window, BOS included")
    steps: int = option(1500, "optimizer steps")
    batch_size: int = option(16, "windows in a step")
    warmup_steps: int = option(50, "steps of linear warm-up; a linear decay to zero follows")
    matrix_learning_rate: float = option(0.02, "peak learning rate of Muon, for the matrices of the blocks")
    other_learning_rate: float = option(3e-3, "peak learning rate of AdamW, for embeddings, norms and biases")
    weight_decay: float = option(0.05, "decoupled weight decay of the matrices")
    stride: int = option(64, "how far the window of the held-out measurement moves")
    checkpoint_every: int = option(50, "steps between checkpoints: what a kill can lose", identity=False)
