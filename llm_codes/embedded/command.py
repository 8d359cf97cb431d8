"""`python -m llm_codes train-embedded`."""

from __future__ import annotations

from eval.report.tables import text_table
from eval.runs import Run
from llm_codes.configs.embedded import TrainEmbeddedConfig
from llm_codes.embedded.study import train_embedded


def command(config: TrainEmbeddedConfig, run: Run) -> str:
    """Train (or continue) in the run folder; the model is its folder `model/`. Returns the table of bits per byte."""
    results = train_embedded(config, run)
    run.finish(results, corpus=config.corpus)
    lengths = {run.path("model").as_posix(): results["held_out"]["bits_per_byte"], **results["compressors"]}
    return text_table([{"held-out text under": name, "bits per byte": f"{bits:.4f}"} for name, bits in lengths.items()])
