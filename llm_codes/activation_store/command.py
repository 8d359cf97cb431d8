"""`python -m llm_codes harvest`: opens inputs, writes the store, which is the run folder as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.runs import Run
from llm_codes.activation_store.layout import ELEMENT_BYTES, Manifest
from llm_codes.activation_store.rows import StoredActivations, StoredShard, StoredSite
from llm_codes.activation_store.study import harvest_activations
from llm_codes.harvest import GIGABYTE
from llm_codes.inputs import open_inputs
from llm_codes.lenses.saes.matching import provenance_of
from llm_codes.models import untrained_like

if TYPE_CHECKING:
    from llm_codes.configs.harvest import HarvestConfig


def results_of(manifest: Manifest) -> StoredActivations:
    """The documented keys of `results.json`."""
    n_rows = sum(shard.rows for shard in manifest.shards)
    element = ELEMENT_BYTES[manifest.dtype]
    sites = [
        StoredSite(site.name, site.hook, site.width, n_rows * site.width * element / GIGABYTE)
        for site in manifest.sites
    ]
    shards = [StoredShard(shard.file, shard.sha256, shard.rows) for shard in manifest.shards]
    return StoredActivations(tuple(sites), tuple(shards), manifest.dtype, n_rows, manifest.sha256)


def command(config: HarvestConfig, run: Run) -> str:
    """`python -m llm_codes harvest`."""
    inputs = open_inputs(config.inputs, seed=config.seed, device=config.device, run=run)
    model = untrained_like(inputs.model, config.seed) if config.untrained else inputs.model
    corpus = inputs.view(config.windows)
    manifest = harvest_activations(
        model, corpus, run.folder, config.storing, harvest_options=config.inputs, dictionary=provenance_of(model)
    )
    results = results_of(manifest)
    run.finish(results.to_json(), model=model.provenance(), corpus=corpus.describe())
    return results.text()
