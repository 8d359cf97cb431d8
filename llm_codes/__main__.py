"""`python -m llm_codes <verb>`: the verbs of the language-model wing."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import llm_codes
from eval import commands
from eval.commands import Command

COMMANDS = (
    Command(
        "report",
        "llm_codes.configs.report:ReportConfig",
        "llm_codes.report:command",
        "every chapter on one model, one page",
    ),
    Command(
        "sites", "llm_codes.configs.spectra:SitesConfig", "llm_codes.sites_command:command", "list the sites of a model"
    ),
    Command(
        "harvest",
        "llm_codes.configs.harvest:HarvestConfig",
        "llm_codes.activation_store.command:command",
        "write activations to a store that `--activations` reads",
        result="llm_codes.activation_store.rows:StoredActivations",
    ),
    Command(
        "spectra",
        "llm_codes.configs.spectra:SpectraConfig",
        "llm_codes.lenses.spectra.command:command",
        "eigenspectra and alpha by depth",
        result="llm_codes.lenses.spectra.rows:SpectraResults",
        shares=True,
    ),
    Command(
        "trajectories",
        "llm_codes.configs.trajectories:TrajectoriesConfig",
        "llm_codes.lenses.trajectories.command:command",
        "random projections along a text, their action, the smoothest directions",
        result="llm_codes.lenses.trajectories.rows:TrajectoriesResults",
        shares=True,
    ),
    Command(
        "polytopes",
        "llm_codes.configs.polytopes:PolytopesConfig",
        "llm_codes.lenses.polytopes.command:command",
        "spline codes: clusters with their texts, directions, density, local maps",
        result="llm_codes.lenses.polytopes.results:Polytopes",
    ),
    Command(
        "compare",
        "llm_codes.configs.compare:CompareConfig",
        "llm_codes.lenses.spectra.compare:command",
        "two spectra runs side by side",
        result="llm_codes.lenses.spectra.rows:Comparison",
    ),
    Command(
        "train-embedded",
        "llm_codes.configs.embedded:TrainEmbeddedConfig",
        "llm_codes.embedded.command:command",
        "train the model that ships with the package",
    ),
    Command(
        "explain",
        "llm_codes.configs.explain:ExplainConfig",
        "llm_codes.lenses.explain.command:command",
        "explain units in words, simulate, score, with controls",
        result="eval.explanation.results:Explained",
    ),
    Command(
        "explain rescore",
        "llm_codes.configs.explain:RescoreConfig",
        "llm_codes.lenses.explain.command:rescore_command",
        "another metric of an explanation run's predictions",
        result="eval.explanation.rescoring.rescore:Rescored",
    ),
    Command(
        "sae train",
        "llm_codes.configs.saes:SAETrainConfig",
        "llm_codes.lenses.saes.command:train_command",
        "train sparse autoencoders or a transcoder",
        result="llm_codes.lenses.saes.rows:TrainedDictionaries",
    ),
    Command(
        "sae eval",
        "llm_codes.configs.saes:SAEEvalConfig",
        "llm_codes.lenses.saes.command:eval_command",
        "quality of a dictionary on held-out documents",
        result="llm_codes.lenses.saes.rows:DictionaryEvaluation",
    ),
    Command(
        "sae replacement",
        "llm_codes.configs.replacement:ReplacementConfig",
        "llm_codes.lenses.replacement.command:command",
        "the model with transcoders in place of its MLPs",
        result="llm_codes.lenses.replacement.rows:ReplacementResults",
        shares=True,
    ),
    Command(
        "connector train",
        "llm_codes.configs.connectors:ConnectorTrainConfig",
        "llm_codes.lenses.connectors.command:train_command",
        "sparse map between two dictionaries",
        result="llm_codes.lenses.connectors.rows:TrainedConnector",
    ),
    Command(
        "connector eval",
        "llm_codes.configs.connectors:ConnectorEvalConfig",
        "llm_codes.lenses.circuits.command:eval_command",
        "causal scorecard, pruning, interventions, logic",
        result="llm_codes.lenses.circuits.rows:ChainEvaluation",
    ),
    Command(
        "connector confirm",
        "llm_codes.configs.connectors:ConnectorConfirmConfig",
        "llm_codes.lenses.circuits.command:confirm_command",
        "named logic forms once more, on fresh text",
        result="llm_codes.lenses.circuits.rows:Confirmation",
    ),
    Command(
        "connector show",
        "llm_codes.configs.connectors:ConnectorShowConfig",
        "llm_codes.lenses.circuits.command:show_command",
        "one feature as an equation with contexts",
        result="llm_codes.lenses.circuits.rows:ShownFeature",
    ),
    Command(
        "circuit",
        "llm_codes.configs.circuits:CircuitConfig",
        "llm_codes.lenses.circuits.command:command",
        "the circuit page and its graph JSON",
        result="llm_codes.lenses.circuits.rows:CircuitSummary",
    ),
    Command(
        "circuit graph",
        "llm_codes.configs.graphs:CircuitGraphConfig",
        "llm_codes.lenses.graphs.command:graph_command",
        "attribution graphs of prompts through all layers",
        result="llm_codes.lenses.graphs.rows:GraphResults",
    ),
    Command(
        "circuit test",
        "llm_codes.configs.graphs:CircuitTestConfig",
        "llm_codes.lenses.graphs.command:edges_command",
        "edges of graphs tested in the real model",
        result="llm_codes.lenses.graphs.edge_rows:EdgeTests",
        shares=True,
    ),
    Command(
        "circuit weights",
        "llm_codes.configs.weights:CircuitWeightsConfig",
        "llm_codes.lenses.weights.command:command",
        "weights between features of all layers over a corpus, tested",
        result="llm_codes.lenses.weights.rows:WeightsResults",
        shares=True,
    ),
    Command(
        "circuit curve",
        "llm_codes.configs.faithfulness:CircuitCurveConfig",
        "llm_codes.lenses.faithfulness.command:command",
        "how few features or neurons do what the model does",
        result="llm_codes.lenses.faithfulness.rows:CurveResults",
        shares=True,
    ),
    Command(
        "circuit patch",
        "llm_codes.configs.patching:CircuitPatchConfig",
        "llm_codes.lenses.patching.command:command",
        "pairs of prompts: activations and paths patched, by site, head and feature",
        result="llm_codes.lenses.patching.rows:PatchingResults",
        shares=True,
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    return commands.main("llm_codes", llm_codes.__doc__ or "", COMMANDS, argv)


if __name__ == "__main__":
    sys.exit(main())
