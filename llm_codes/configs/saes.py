"""Options and configurations of `sae train` and `sae eval`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from eval.errors import UserError
from eval.measures.dictionaries.step_options import BASELINES, NONE, check_baseline
from eval.options import Options, RunConfig, nested, option
from llm_codes.configs.inputs import ACTIVATIONS_HELP, InputsOptions, WindowsOptions

TRANSCODERS = ("transcoder", "jumprelu-transcoder")
ARCHITECTURES = ("topk", "batchtopk", "standard", "jumprelu", "gated", "matryoshka", *TRANSCODERS)


@dataclass(frozen=True, kw_only=True)
class DictionaryOptions(Options):
    """Which dictionaries are trained: where they read and write, of which kind, how wide, how sparse."""

    sites: tuple[str, ...] = option(
        ("mlp_out",), "where they read, e.g. mlp_in,mlp_out@2; all train on the same pass", formerly=("site",)
    )
    sites_out: tuple[str, ...] = option(
        (), "where transcoders write, paired with --sites by layer, e.g. mlp_out", formerly=("site_out",)
    )
    layers: str = option(
        "middle", "layers of the sites that name none: 4:6, 0,3, : or middle", kind="layers", formerly=("layer",)
    )
    architecture: str = option(
        "topk",
        "kind of dictionary; a transcoder (k on average, or jumprelu) per layer of --sites",
        choices=ARCHITECTURES,
    )
    skip: bool = option(False, "a transcoder with an affine map from input to output beside its features")
    cross_layer: bool = option(
        False, "one transcoder for all layers, each feature of which writes to its layer and all above (--layers :)"
    )
    width: tuple[str, ...] = option(
        ("8x",), "features: a multiple of the site's width (8x) or a count; several allowed"
    )
    k: int = option(32, "features active per token (TopK kinds, transcoder)", at_least=1)
    target_l0: float = option(
        32.0, "features active per token (standard, gated, jumprelu kinds); 0: what --sparsity gives", at_least=0
    )
    sparsity: float = option(1.0, "L1 or L0 coefficient to start from (standard, gated, jumprelu kinds)", above=0)
    tied: bool = option(False, "the decoder is the encoder's transpose")
    baseline: tuple[str, ...] = option(
        (NONE,),
        "what is held at random instead of being trained; several on one pass, e.g. none,frozen-decoder",
        choices=BASELINES,
    )
    learning_rate: float = option(3e-3, "Adam's learning rate", above=0)
    auxiliary: float = option(1.0, "weight of the loss that revives dead features (TopK kinds)", at_least=0)
    dead_window: float = option(
        0.05, "share of the run without firing after which a feature counts as dead", above=0, at_most=1
    )

    def validate(self) -> None:
        for baseline in self.baseline:
            check_baseline(baseline, self.tied)
        if self.skip and (self.architecture != "transcoder" or self.cross_layer):
            got = "--cross-layer" if self.cross_layer else f"--architecture {self.architecture}"
            raise UserError(
                f"expected --skip with --architecture transcoder, one a layer; got it with {got}; leave one out"
            )
        if self.cross_layer and self.architecture != "transcoder":
            raise UserError(
                f"expected --cross-layer with --architecture transcoder; got {self.architecture}; name that, with "
                "--sites mlp_in --sites-out mlp_out --layers :"
            )
        if (self.architecture in TRANSCODERS) != bool(self.sites_out):
            raise UserError(
                f"expected --sites-out exactly for a transcoder; got --architecture {self.architecture} with "
                f"--sites-out {','.join(self.sites_out) or 'empty'}; give both or neither"
            )


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(WindowsOptions):
    """How long training is, on how much at a time, and how safe."""

    tokens: int = option(1_000_000, "activations to train on (a corpus with fewer is read again)", at_least=1)
    train_batch_size: int = option(1024, "tokens per training step", at_least=2)
    block_windows: int = option(64, "windows read, and tokens shuffled, at a time", at_least=1)
    on_nan: str = option("skip", "a batch that is not finite: skip and count it, or stop", choices=("skip", "stop"))
    checkpoint_every: int = option(200, "steps between checkpoints", at_least=1, identity=False)
    log_every: int = option(20, "steps between lines of the log", at_least=1, identity=False)
    keep: int = option(2, "checkpoints kept", at_least=1, identity=False)
    report_tokens: int = option(
        0,
        "held-out tokens on which what was saved is measured (FVU, CE, KL; intervals from 20 documents); 0: not",
        at_least=0,
    )
    half: bool = option(False, "write weights in float16")
    wandb: str = option("", "Weights & Biases project to log to as well (empty: none)", identity=False)

    @property
    def total_steps(self) -> int:
        return max(1, self.tokens // self.train_batch_size)


@dataclass(frozen=True, kw_only=True)
class SAETrainConfig(RunConfig):
    """Train SAEs or transcoders on one forward pass; the folders load with sae_lens.SAE.load_from_disk."""

    untrained: bool = option(False, "train on the model's untrained copy (weights drawn by --seed): a control")
    activations: str = option("", ACTIVATIONS_HELP)
    inputs: InputsOptions = nested(InputsOptions(split="train"))
    dictionary: DictionaryOptions = nested(DictionaryOptions())
    training: TrainingOptions = nested(TrainingOptions())

    def validate(self) -> None:
        if self.activations and self.untrained:
            raise UserError(
                "expected --untrained without --activations, which are there already; got both; harvest --untrained"
            )
        if self.activations and self.training.report_tokens:
            raise UserError(
                "expected no --report-tokens beside --activations, which hold no held-out text; got both; measure "
                "with `sae eval`"
            )


@dataclass(frozen=True, kw_only=True)
class DashboardOptions(Options):
    """Which features are shown."""

    dashboards: int = option(24, "features shown on the page, spread over the densities of those that fire", at_least=0)
    features: tuple[int, ...] = option((), "show these features instead, e.g. 12,1024", at_least=0)


@dataclass(frozen=True, kw_only=True)
class SAEEvalConfig(RunConfig):
    """Quality of a dictionary on held-out documents: L0, FVU, CE delta and recovered, KL, dead share, density."""

    sae: str = option(help="folder of the dictionary, or a published release")
    sae_id: str = option("", "id within a published release")
    baselines: tuple[str, ...] = option(
        (), "folders of `sae train --baseline ...` to measure beside it: what of its quality random ones reach"
    )
    partner: str = option("", "folder of the same dictionary from another seed: which features are found again")
    card: bool = option(False, "put the card (card.json, card.html) into the dictionary's own folder too")
    hook: str = option("", "where it reads, for a folder that does not say, e.g. blocks.3.hook_resid_post")
    inputs: InputsOptions = nested(InputsOptions(split="held-out"))
    windows: WindowsOptions = nested(WindowsOptions(tokens=20_000))
    shown: DashboardOptions = nested(DashboardOptions())

    def validate(self) -> None:
        if self.card and not Path(self.sae).is_dir():
            raise UserError(f"expected --card with a dictionary in a folder; got {self.sae}; leave it out")
