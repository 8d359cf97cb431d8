"""The report's chapter on sparse circuits: what ships with the embedded model, shown and tested once more.

Dictionaries belong to one set of weights, so that for every other model the page names the commands that train them.
"""

from __future__ import annotations

import json
from pathlib import Path

from eval.claims import Claim
from eval.report.page import Page, Section
from eval.result_json import noted
from eval.results import Result, result
from llm_codes.configs.inputs import HarvestOptions
from llm_codes.corpus import Corpus
from llm_codes.lenses.circuits.evaluation_page import add_scorecard, add_tests, agreement_rows
from llm_codes.lenses.circuits.page import add_circuit
from llm_codes.lenses.circuits.rows import ChainEvaluation, CircuitErrors
from llm_codes.lenses.circuits.study import circuit_data
from llm_codes.lenses.connectors.files import Chain, chain_folder, open_chain
from llm_codes.lenses.connectors.interventions import validate_edges
from llm_codes.lenses.connectors.pairs import FeaturePairs, harvest_pairs
from llm_codes.lenses.connectors.rows import EdgeValidation
from llm_codes.lenses.connectors.study import mlp_function
from llm_codes.lenses.saes.files import load_sae
from llm_codes.lenses.saes.matching import check_fits, model_hash
from llm_codes.lenses.saes.shipped import SHIPPED
from llm_codes.models import Model
from llm_codes.sites import resolve_site

COMMANDS = (
    "python -m llm_codes sae train --model {name} --sites mlp_in,mlp_out --layers {layer} --width 8x --out runs/saes",
    "python -m llm_codes connector train --model {name} --from runs/saes/{first} --to runs/saes/{second} "
    "--out runs/connector",
    "python -m llm_codes circuit --model {name} --connector runs/connector --from runs/saes/{first} "
    "--to runs/saes/{second} --out runs/circuit",
)
SUMMARY = "evaluation.json"
MAXIMUM_TOKENS = 12_000


@result
class CircuitsChapter(Result):
    """The report's circuits: whether dictionaries of these weights ship, the reason if not, what was measured here.

    claims: those of the shipped evaluation, which the page shows.
    """

    shipped: bool
    reason: str | None = noted(default=None, when_set=True)
    errors: CircuitErrors | None = noted(default=None, when_set=True)
    edge_validation: EdgeValidation | None = noted(default=None, when_set=True)
    equations: dict[str, str] | None = noted(default=None, when_set=True)
    claims: tuple[Claim, ...] = ()


def chapter(
    model: Model,
    corpus: Corpus,
    page: Page,
    *,
    harvest_options: HarvestOptions | None = None,
    folder: Path = SHIPPED,
    n_outputs: int = 60,
    n_edges: int = 30,
    seed: int = 0,
) -> CircuitsChapter:
    """Add the circuits chapter: the shipped scorecard, the circuit on this corpus, one intervention test.

    Args:
        model: the report's model; only the weights the shipped dictionaries were trained on get a circuit.
        corpus: the report's corpus; its first 12,000 tokens are read. harvest_options: how it is walked.
        page: where sections are added. folder: the shipped chain; n_outputs: features drawn; n_edges: edges tested.
    """
    missing = reason_without_dictionaries(model, folder)
    if missing:
        section = page.section("Sparse circuits", "circuits")
        section.warning(f"No circuit here: {missing}. These commands train them for this model:")
        for line in commands_for(model):
            section.text(line)
        return CircuitsChapter(False, missing)
    chain = open_chain(*chain_folder(folder))
    check_fits(chain.first, model)
    few = corpus.select(range(min(len(corpus), max(1, MAXIMUM_TOKENS // corpus.context))))
    walk = harvest_options or HarvestOptions(batch_size=16)
    pairs = harvest_pairs(model, few, chain.first, chain.second, walk)
    tested = _test_edges(model, chain, pairs, n_edges, seed)
    data = circuit_data(model, chain.first, chain.second, chain.connector, pairs, n_outputs=n_outputs)
    path = folder / SUMMARY
    shipped = ChainEvaluation.from_json(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
    _write_tests(page.section("Sparse circuits", "circuits"), chain, few, tested, shipped)
    if shipped is not None:
        add_scorecard(page, shipped.scorecard, shipped.untrained)
        add_tests(page, shipped)
    add_circuit(page, data)
    equations = {f"OF_{output}": data.outputs[output].equation for output in data.order}
    return CircuitsChapter(True, None, data.errors, tested, equations, () if shipped is None else shipped.claims)


def reason_without_dictionaries(model: Model, folder: Path = SHIPPED) -> str:
    """Why no dictionaries fit these weights; empty if some do."""
    if not all((Path(part) / name).is_file() for part, name in zip(chain_folder(folder), FILES, strict=True)):
        return "no dictionaries are installed with this copy"
    trained_on = load_sae(chain_folder(folder)[1]).metadata
    if trained_on.get("model_hash") != model_hash(model):
        return f"no dictionaries ship for {model.name} (those that ship were trained on {trained_on.get('model_name')})"
    return ""


FILES = ("connector.safetensors", "sae_weights.safetensors", "sae_weights.safetensors")


def commands_for(model: Model) -> list[str]:
    """The three commands that make this chapter's dictionaries for another model."""
    layer = model.n_layers // 2
    names = {}
    for side, site in (("first", "mlp_in"), ("second", "mlp_out")):
        found = resolve_site(model, site, layer)
        names[side] = f"{found.hook}-topk-{8 * found.width}"
    return [line.format(name=model.name, layer=layer, **names) for line in COMMANDS]


def _test_edges(model: Model, chain: Chain, pairs: FeaturePairs, n_edges: int, seed: int) -> EdgeValidation:
    function = mlp_function(model, resolve_site(model, chain.first.hook))
    return validate_edges(function, chain.first, chain.second, chain.connector, pairs, n_edges=n_edges, seed=seed)


def _write_tests(
    section: Section, chain: Chain, corpus: Corpus, tested: EdgeValidation, shipped: ChainEvaluation | None
) -> None:
    """What is on the page, and whether its edges do in the real MLP what they say."""
    section.text(
        f"Two dictionaries ship with this model, at {chain.first.hook} ({chain.first.n_features} features) and "
        f"{chain.second.hook_out} ({chain.second.n_features}), and a connector of {chain.connector.n_edges:,} edges "
        f"({chain.connector.edges_per_output:.1f} per output feature). Circuit and intervention test below: "
        f"{corpus.n_tokens:,} tokens of this report's corpus."
    )
    if shipped is not None:
        count = shipped.scorecard.n_tokens
        section.text(f"The scorecard was measured when they were trained: {count:,} held-out tokens.")
    columns = ("change", "sign_agreement", "sign_agreement_null", "r2", "r2_null", "correlation")
    section.table(
        agreement_rows(tested),
        columns,
        f"{tested.n_edges} edges: one input feature taken out (ablate) or doubled (boost) in the real MLP, the output "
        "feature's change against the connector's; nulls pair edges at random",
    )
