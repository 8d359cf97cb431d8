"""Configurations of `sae train` and `sae eval`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import option
from llm_codes.configs.spectra import HarvestConfig

ARCHITECTURES = ("topk", "batchtopk", "standard", "jumprelu", "gated", "matryoshka", "transcoder")


@dataclass(frozen=True, kw_only=True)
class SAETrainConfig(HarvestConfig):
    """Train SAEs or a transcoder on one forward pass; the folder loads with sae_lens.SAE.load_from_disk."""

    split: str = option("train", "documents to read", choices=("held-out", "train", "all"))
    tokens: int = option(1_000_000, "activations to train on (a corpus with fewer is read again)")
    site: tuple[str, ...] = option(("mlp_out",), "where it reads; several sites train together on the same pass")
    site_out: str = option("", "where a transcoder writes, e.g. mlp_out (with --architecture transcoder)")
    layer: int = option(-1, "layer of the sites (-1: the middle one)")
    architecture: str = option("topk", "kind of dictionary", choices=ARCHITECTURES)
    width: tuple[str, ...] = option(
        ("8x",), "features: a multiple of the site's width (8x) or a count; several allowed"
    )
    k: int = option(32, "features active per token (TopK kinds)")
    target_l0: float = option(32.0, "features active per token (standard, gated, jumprelu); 0: as --sparsity gives")
    sparsity: float = option(1.0, "L1 or L0 coefficient to start from (standard, gated, jumprelu)")
    tied: bool = option(False, "the decoder is the encoder's transpose")
    learning_rate: float = option(3e-3, "Adam's learning rate")
    train_batch_size: int = option(1024, "tokens per training step")
    block_windows: int = option(64, "windows read, and tokens shuffled, at a time")
    on_nan: str = option("skip", "a batch that is not finite: skip and count it, or stop", choices=("skip", "stop"))
    checkpoint_every: int = option(200, "steps between checkpoints", identity=False)
    keep: int = option(2, "checkpoints kept", identity=False)
    half: bool = option(False, "write weights in float16")
    wandb: str = option("", "Weights & Biases project to log to as well (empty: none)", identity=False)


@dataclass(frozen=True, kw_only=True)
class SAEEvalConfig(HarvestConfig):
    """Quality of a dictionary on held-out documents: L0, FVU, CE delta and recovered, KL, dead share, density."""

    sae: str = option(help="folder of the dictionary, or a published release")
    sae_id: str = option("", "id within a published release")
    tokens: int = option(20_000, "tokens to read, spread over the documents")
    dashboards: int = option(24, "features shown on the page, spread over the densities of those that fire")
    features: tuple[int, ...] = option((), "show these features instead, e.g. 12,1024")
