"""What `python -m llm_codes explain`, and `explain` in a script, can be told."""

from __future__ import annotations

from dataclasses import dataclass

from eval.errors import UserError
from eval.options import SEED_LIMIT, FolderConfig, Options, RunConfig, nested, option
from llm_codes.configs.inputs import InputsOptions

RULES = ("token-lookup", "back-off", "decision-list", "token-graph", "lag-weights")
"""Explainers that need no language model: they print a rule."""
LANGUAGE_MODELS = ("local", "openai", "vllm")
"""What stands before the colon where a language model explains or simulates."""
SCORERS = ("detection", "fuzzing", "hard-detection", "intruder", "embedding", "surprisal", "intervention")
"""Scorers beside simulation."""
READS_RULES = "rules"
"""The simulator that reads printed rules."""


@dataclass(frozen=True, kw_only=True)
class RoleOptions(Options):
    """Where one of explainer, simulator and judge differs from the run's server."""

    base_url: str = option("", "its own server (default: --base-url)", identity=False)
    key_variable: str = option(
        "", "environment variable with the key of its own server (default: --key-variable)", identity=False
    )
    price_input: float = option(-1.0, "its USD per million input tokens (-1: --price-input)", identity=False)
    price_output: float = option(-1.0, "its USD per million output tokens (-1: --price-output)", identity=False)


@dataclass(frozen=True, kw_only=True)
class ServerOptions(Options):
    """The OpenAI-compatible server behind `openai:<model>`. A key is read from the environment, and only there."""

    base_url: str = option("https://api.openai.com/v1", "OpenAI-compatible server of openai:<model>", identity=False)
    key_variable: str = option("OPENAI_API_KEY", "environment variable that holds the key", identity=False)
    probe: bool = option(
        True, "ask each model once what it can (log-probabilities, JSON schema ...), and say so", identity=False
    )
    mode: str = option(
        "auto",
        "how openai:<model> simulates: logprobs, json, all-at-once (prompt logprobs), or the best it accepts",
        choices=("auto", "logprobs", "json", "all-at-once"),
    )
    batch: bool = option(False, "ask through OpenAI's batch API: half the price, answers within a day", identity=False)
    concurrency: int = option(16, "requests under way at once", at_least=1, identity=False)
    timeout: float = option(60.0, "seconds until a request counts as hung", above=0, identity=False)
    retries: int = option(
        6, "attempts after the first for 429, 5xx, timeouts and cut connections", at_least=0, identity=False
    )
    max_failures: float = option(
        0.05,
        "share of requests that may fail or be unreadable before the run stops (exit status 3)",
        at_least=0,
        at_most=1,
        identity=False,
    )
    journal: str = option(
        "", "SQLite journal of requests and replies (default: journal.sqlite in --out)", identity=False
    )
    replay: bool = option(False, "answer from the journal alone, send nothing", identity=False)
    budget_usd: float = option(0.0, "stop cleanly before this is spent (0: no limit)", at_least=0, identity=False)
    price_input: float = option(0.0, "USD per million input tokens", at_least=0, identity=False)
    price_output: float = option(0.0, "USD per million output tokens", at_least=0, identity=False)
    explainer: RoleOptions = nested(RoleOptions(), prefix="explainer_")
    simulator: RoleOptions = nested(RoleOptions(), prefix="simulator_")
    judge: RoleOptions = nested(RoleOptions(), prefix="judge_")

    def validate(self) -> None:
        prices = [one for role in (self, *self.roles.values()) for one in (role.price_input, role.price_output)]
        if self.budget_usd > 0 and max(prices) <= 0:
            raise UserError("--budget-usd needs prices; pass --price-input and --price-output (USD per million tokens)")

    @property
    def roles(self) -> dict[str, RoleOptions]:
        """What each of the three has of its own."""
        return {"explainer": self.explainer, "simulator": self.simulator, "judge": self.judge}


@dataclass(frozen=True, kw_only=True)
class ExplainOptions(Options):
    """Which units are explained, on which windows, by whom, and how they are scored."""

    tokens: int = option(100_000, "tokens of the corpus from which windows are taken", at_least=1)
    window: int = option(64, "tokens in a window (left-out leading positions come before it)", at_least=2)
    units: tuple[str, ...] = option(
        ("neuron", "random", "pca"),
        "kinds of unit: neuron, random, pca, action, sae:DIR, cluster; units by name: neuron:3:117, sae:DIR:16; or a "
        "file of these, one a line",
        empty=True,
    )
    per_layer: int = option(20, "units of each kind in each layer", at_least=1)
    layers: str = option(":", "layers, as `:`, `4:`, `0,3,-1`", kind="layers")
    site: str = option("mlp_post", "where neurons and directions are read (short name of a site)")
    neurons: str = option(
        "sampled", "sampled at random, or top by mean maximum activation [B23]", choices=("sampled", "top")
    )
    live: bool = option(
        True, "pass over sampled neurons and features that never fire on the explain documents, and draw others"
    )
    sign: str = option(
        "skewness",
        "sign of a direction: positive third moment on the explain set, or as drawn",
        choices=("skewness", "drawn"),
    )
    controls: tuple[str, ...] = option(("shuffled", "untrained"), "control conditions: shuffled, untrained", empty=True)
    explainer: str = option(
        "decision-list",
        "decision-list, token-lookup, back-off, token-graph, lag-weights; logit-effect, steering-effect (what the unit "
        "does); local:<model>, openai:<model>, vllm:<model>, file.py:name",
    )
    shown: str = option(
        "top",
        "what an LLM explainer is shown: top windows, quantiles of its range, contrastive (near misses too), the best "
        "of these three by a held-in score, logit-effect (top windows and the tokens it promotes), or output (no "
        "window: what it does, from logits and steering)",
        choices=("top", "quantiles", "contrastive", "best", "logit-effect", "output"),
    )
    simulator: str = option(
        READS_RULES, "rules (reads a printed rule), local:<model>, openai:<model>, vllm:<model>, file.py:name"
    )
    judge: str = option("", "who judges: local:<model>, openai:<model>, vllm:<model> (default: the simulator)")
    local_batch: int = option(
        8, "windows or conversations that local:<model> reads in one pass", at_least=1, identity=False
    )
    bits: float = option(0.0, "longest printed rule in bits (0: as long as 12 words with a level)", at_least=0)
    against: tuple[str, ...] = option(
        ("token-lookup",), "other printed rules on the same units at the same budget, paired", empty=True
    )
    lengths: bool = option(True, "score printed rules at every length, from one word to the whole token table")
    random_windows: int = option(
        0, "shared random windows that are scored (0: 120 for printed rules, else 20)", at_least=0
    )
    top_windows: int = option(
        -1, "top windows of each unit that are scored (-1: 10 for printed rules, else 5)", at_least=-1
    )
    calibration: str = option("none", "calibration of predictions", choices=("none", "linear", "percentile"))
    scorers: tuple[str, ...] = option(
        ("detection", "fuzzing"),
        "scorers beside simulation: detection, fuzzing, hard-detection, intruder, embedding, surprisal (needs a local "
        "judge), intervention (steers the model)",
        choices=SCORERS,
        empty=True,
    )
    questions: int = option(10, "questions per class of each scorer", at_least=1)
    resamples: int = option(1000, "bootstrap draws behind every interval", at_least=2)
    until_decided: float = option(
        0.0, "draw units in random order until every difference of kinds is decided at this margin (0: off)", at_most=2
    )
    max_units: int = option(0, "units drawn of a kind in a layer at most (0: as many as --per-layer)", at_least=0)
    server: ServerOptions = nested(ServerOptions())

    def validate(self) -> None:
        if self.max_units and not self.until_decided:
            raise UserError("--max-units bounds a run that stops on what it shows; pass --until-decided MARGIN too")

    @property
    def needs_no_language_model(self) -> bool:
        return not any(name.partition(":")[0] in LANGUAGE_MODELS for name in (self.explainer, self.simulator))

    @property
    def most_units(self) -> int:
        """Units drawn of a kind in a layer at most, where a run stops on what it shows."""
        return self.max_units or self.per_layer

    @property
    def rivals(self) -> tuple[str, ...]:
        """The other explainers, less the run's own; none where a language model explains."""
        return tuple(name for name in self.against if name != self.explainer) if self.explainer in RULES else ()

    @property
    def calibrates(self) -> bool:
        """Whether documents are set aside to choose rules, or to fit a calibration."""
        return self.calibration != "none" or self.explainer in RULES

    @property
    def n_random_windows(self) -> int:
        """Shared random windows of each split."""
        return self.random_windows or (120 if self.needs_no_language_model else 20)

    @property
    def n_top_windows(self) -> int:
        """Top windows of each unit."""
        return self.top_windows if self.top_windows >= 0 else (10 if self.needs_no_language_model else 5)


@dataclass(frozen=True, kw_only=True)
class ExplainConfig(RunConfig):
    """Explain units in words, simulate them from the words alone, score the simulation; with controls and intervals."""

    inputs: InputsOptions = nested(InputsOptions(split="all", batch_size=16))
    explain: ExplainOptions = nested(ExplainOptions())
    dry_run: bool = option(False, "send nothing; print requests, tokens and cost", identity=False)
    records: bool = option(
        False, "also write every unit as OpenAI NeuronRecord and ScoredSimulation JSON", identity=False
    )
    predictions: bool = option(
        True, "keep every prediction (predictions.parquet), so that `explain rescore` needs no rerun", identity=False
    )


@dataclass(frozen=True, kw_only=True)
class RescoreConfig(FolderConfig):
    """Score the predictions that an `explain` run kept by another metric, without running it again."""

    run: str = option(help="folder of an `explain` run", positional=True)
    metric: str = option(
        "spearman",
        "correlation, r_squared_uncentred, r_squared, absolute_deviation_explained, spearman, auroc, "
        "mean_squared_error, file.py:name",
    )
    mix: str = option("random", "windows that are scored", choices=("random", "top", "top_and_random"))
    seed: int = option(0, "seed of every random draw", at_least=0, at_most=SEED_LIMIT)
    out: str = option("runs/rescore", "run folder; the same command on the same folder continues", identity=False)
