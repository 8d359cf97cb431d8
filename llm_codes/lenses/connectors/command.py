"""`python -m llm_codes connector train|eval|show`, and the whole evaluation as one function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from eval.claims import Claim, judge_sign
from eval.errors import UserError
from eval.measures.connectors.connector import Connector, ConnectorFit, FeatureRows
from eval.report.page import Page
from eval.report.tables import text_table
from eval.runs import Run
from eval.scores import Score
from llm_codes.configs.connectors import ConnectorEvalConfig, ConnectorShowConfig, ConnectorTrainConfig
from llm_codes.corpus import Corpus
from llm_codes.lenses.circuits.confirm import form_json, named_forms_json
from llm_codes.lenses.circuits.evaluation_page import add_scorecard, add_tests
from llm_codes.lenses.circuits.reading import (
    describe_feature,
    feature_number,
    interesting_outputs,
    named_form,
    read_logic,
)
from llm_codes.lenses.connectors.interventions import validate_edges
from llm_codes.lenses.connectors.scorecard import (
    Branch,
    causal_scorecard,
    connector_writes,
    pruning_frontier,
    replacements,
)
from llm_codes.lenses.connectors.study import (
    FeaturePairs,
    analytic_start,
    check_connector,
    harvest_options,
    harvest_pairs,
    largest_edges,
    load_connector,
    mlp_function,
    random_support,
    refitted,
    save_connector,
    train_connector,
)
from llm_codes.lenses.saes.command import open_corpus, open_model_and_corpus
from llm_codes.lenses.saes.contexts import ContextIndex
from llm_codes.lenses.saes.files import SAEFolder, check_fits, load_sae
from llm_codes.models import PRETRAINED, Model
from llm_codes.sites import resolve_site

SHIPPED = PRETRAINED / "saes-gpt2-sotu"


@dataclass
class Chain:
    """A connector with its dictionaries."""

    first: SAEFolder
    second: SAEFolder
    connector: Connector
    transcoder: SAEFolder | None = None


def open_chain(connector: str, first: str, second: str, transcoder: str = "", device: str = "cpu") -> Chain:
    """Load a connector and its pair; all empty: what ships with the embedded model.

    Raises:
        UserError: one of the three is missing, damaged, or does not belong to the others.
    """
    if not (connector or first or second):
        if not SHIPPED.is_dir():
            raise UserError(
                f"expected the shipped pair in {SHIPPED.name}; it is missing; pass --connector, --from and --to"
            )
        connector, first, second = (str(SHIPPED / name) for name in ("connector", "mlp_in", "mlp_out"))
    if not (connector and first and second):
        raise UserError("expected --connector, --from and --to together; got only some of them; pass all three or none")
    chain = Chain(load_sae(first, device=device), load_sae(second, device=device), load_connector(connector))
    check_connector(chain.connector, chain.first, chain.second)
    if transcoder:
        chain.transcoder = load_sae(transcoder, device=device)
        if (chain.transcoder.hook, chain.transcoder.hook_out) != (chain.first.hook, chain.second.hook_out):
            raise UserError(
                f"expected a transcoder from {chain.first.hook} to {chain.second.hook_out}; got one from "
                f"{chain.transcoder.hook} to {chain.transcoder.hook_out}; train it at the same MLP"
            )
    return chain


def train_command(config: ConnectorTrainConfig, run: Run) -> str:
    """`python -m llm_codes connector train`."""
    first, second = load_sae(config.from_, device=config.device), load_sae(config.to, device=config.device)
    model, corpus = open_model_and_corpus(config)
    pairs = harvest_pairs(model, corpus, first, second, **harvest_options(config))
    options = ConnectorFit(
        activation=config.activation,
        l1=config.l1,
        edges_per_output=config.edges,
        steps=config.steps,
        refit_steps=config.refit_steps,
        learning_rate=config.learning_rate,
        seed=config.seed,
    )
    connector = train_connector(model, pairs, first, second, options, init=config.init, loss=config.loss)
    save_connector(connector, run.folder, half=config.half)
    live = int((connector.starts.diff() > 0).sum())
    results = {
        "n_edges": connector.n_edges,
        "edges_per_output": connector.edges_per_output,
        "outputs_with_edges": live,
        "n_inputs": connector.n_inputs,
        "n_outputs": connector.n_outputs,
        "fit_tokens": len(pairs.inputs),
        "description": connector.description,
    }
    run.finish(results, model=model.provenance(), corpus=corpus.describe())
    return text_table([{key: results[key] for key in list(results)[:6]}])


def pruned_variants(
    connector: Connector, pairs: FeaturePairs, second: SAEFolder, budgets: Sequence[int], options: ConnectorFit
) -> dict[str, dict[int, Connector]]:
    """Fewer edges by magnitude, by attribution, and by attribution with the kept weights fitted again."""
    weights, scale = connector.dense(), pairs.inputs.root_mean_square()
    ones = torch.ones_like(scale)
    out: dict[str, dict[int, Connector]] = {"magnitude": {}, "attribution": {}, "refit": {}}
    for budget in budgets:
        out["magnitude"][budget] = largest_edges(weights, connector.bias, ones, budget, connector.activation)
        kept = largest_edges(weights, connector.bias, scale, budget, connector.activation)
        out["attribution"][budget] = kept
        dense = kept.dense()
        out["refit"][budget] = refitted(pairs, dense != 0, options, second.vectors, (dense, kept.bias))
    return out


def evaluate_chain(
    model: Model,
    chain: Chain,
    train: Corpus,
    held_out: Corpus,
    *,
    budgets: Sequence[int] = (1, 4, 16),
    edges_tested: int = 150,
    logic_outputs: int = 100,
    fit_steps: int = 200,
    batch_size: int = 16,
    exclude_positions: int = 1,
    max_memory_gb: float | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that `connector eval` reports: `scorecard`, `controls`, `frontier`, `edge_validation`, `logic_forms`,
    `circuits`, `claims`. Controls are fitted on `train`, for as many steps as the connector's refit; every number comes
    from `held_out`."""
    first, second, connector = chain.first, chain.second, chain.connector
    harvested: dict[str, Any] = {"batch_size": batch_size, "exclude_positions": exclude_positions}
    fitted, pairs = (
        harvest_pairs(model, corpus, first, second, max_memory_gb=max_memory_gb, **harvested)
        for corpus in (train, held_out)
    )
    branch = Branch(model, first.hook, second.hook_out)
    analytic, controls = _controls(model, chain, fitted, fit_of(connector, seed))
    rows = replacements(branch, fitted, first, second, connector, analytic, chain.transcoder)
    hooks = {name: branch.hooks(connector_writes(one, first, second)) for name, one in controls.items()}
    out = causal_scorecard(branch, held_out, rows, hooks, batch_size=batch_size, seed=seed)
    shorter = replace(fit_of(connector, seed), refit_steps=fit_steps)
    variants = pruned_variants(connector, fitted, second, budgets, shorter)
    out["frontier"] = pruning_frontier(branch, held_out, variants, first, second, pairs, batch_size=batch_size)
    function = mlp_function(model, resolve_site(model, first.hook))
    out["edge_validation"] = validate_edges(function, first, second, connector, pairs, n_edges=edges_tested, seed=seed)
    out |= _read_circuits(model, chain, pairs, function, logic_outputs, seed)
    out |= {"edges_per_output": connector.edges_per_output, "edges_per_output_analytic": analytic.edges_per_output}
    out["l0"] = {side: float((rows_.values > 0).float().sum(1).mean()) for side, rows_ in _sides(pairs)}
    out["missing_rows"] = {} if chain.transcoder else {"transcoder": "no --transcoder was given"}
    out["claims"] = [claim.as_json() for claim in claims_of(out)]
    return out


def _controls(
    model: Model, chain: Chain, fitted: FeaturePairs, options: ConnectorFit
) -> tuple[Connector, dict[str, Connector]]:
    """The analytic connector with as many edges as the trained one, and the controls: all its edges, its edges with
    fitted weights, random edges with fitted weights."""
    first, second, connector = chain.first, chain.second, chain.connector
    weight, bias = analytic_start(model, fitted, first, second)
    scale, per_output = fitted.inputs.root_mean_square(), max(1, round(connector.edges_per_output))
    analytic = largest_edges(weight, bias, scale, per_output, connector.activation)
    metric = second.vectors if connector.description.get("loss", "decoded") == "decoded" else None
    chance = random_support(fitted, connector, options.seed)
    return analytic, {
        "analytic connector, all edges": Connector.from_dense(weight, bias, connector.activation),
        "analytic edges, refitted": refitted(fitted, analytic.dense() != 0, options, metric),
        "random edges, refitted": refitted(fitted, chance, options, metric),
    }


def fit_of(connector: Connector, seed: int) -> ConnectorFit:
    """How the connector was fitted, so that controls are fitted no worse; the usual way where that is not known."""
    return ConnectorFit(**{"activation": connector.activation, **connector.description.get("fit", {}), "seed": seed})


def _sides(pairs: FeaturePairs) -> list[tuple[str, FeatureRows]]:
    return [("in", pairs.inputs), ("out", pairs.outputs)]


def _read_circuits(
    model: Model, chain: Chain, pairs: FeaturePairs, function: Any, n_outputs: int, seed: int
) -> dict[str, Any]:
    """Logic forms of the best explained output features, and the circuits with equation, contexts, interventions."""
    outputs = interesting_outputs(chain.connector, pairs, n_outputs)
    forms = read_logic(chain.connector, pairs, outputs)
    named = {output: named_form(found) for output, found in forms.items()}
    into, out_of = ContextIndex(pairs.inputs, pairs, model), ContextIndex(pairs.outputs, pairs, model)
    kinds = ("or", "and-not", "and", "k-of-n")
    by_kind = {kind: [o for o, form in named.items() if form is not None and form.kind == kind] for kind in kinds}
    shown = list(dict.fromkeys([*(o for found in by_kind.values() for o in found[:3]), *outputs]))[:8]
    circuits = []
    for output in shown:
        circuit = describe_feature(output, chain.connector, pairs, into, out_of)
        circuit["terms"] = circuit["terms"][:8]
        form = named.get(output)
        circuit["logic"] = None if form is None else form_json(form, into)
        circuit["logic_reason"] = (
            None if form else "no form survived the correction, or its critical cells were not seen"
        )
        sources = form.parents if form else [term["input"] for term in circuit["terms"][:3]]
        weights = dict(chain.connector.edges(output))
        edges = [(output, source, weights[source]) for source in sources]
        tested = validate_edges(function, chain.first, chain.second, chain.connector, pairs, edges, seed=seed)
        circuit["interventions"] = tested["interventions"]
        circuits.append(circuit)
    counts = {kind: sum(f is not None and f.kind == kind for f in named.values()) for kind in ("single", *kinds)}
    tested_forms = sum(map(len, forms.values()))
    logic = {"outputs_tested": len(forms), "forms_tested": tested_forms, "named": counts}
    logic["forms"] = named_forms_json(named, pairs, into)
    return {"logic_forms": logic, "circuits": circuits}


def claims_of(results: dict[str, Any]) -> list[Claim]:
    """[FC]'s statements about language models, and this suite's own bound on the connector."""
    rows = {row["row"]: row for row in [*results["scorecard"], *results["controls"]]}
    share = rows["connector"]
    interval = share.get("share_of_gap_ci")
    reason = share.get("share_of_gap_reason") or "no interval"
    if share["share_of_gap"] is None:
        score = Score.undefined(reason)
    else:
        low, high = interval or (None, None)
        score = Score(share["share_of_gap"], low, high, interval_reason=None if interval else reason)
    named = results["logic_forms"]["named"]
    return [
        Claim(
            "A connector stands in for the MLP between residual features and MLP-out features",
            "FC, language model",
            "its gap to SAE-out only is at most half of mean ablation's",
            score.value,
            judge_sign(score, "below", 0.5),
            interval=None if score.interval is None else (score.interval[0], score.interval[1]),
            note="share of the ablation gap, documents resampled" if score.is_defined else reason,
        ),
        *(
            Claim(
                f"Some MLP-out features are an {kind.upper()} of features before the MLP",
                "FC, language model",
                "at least one survives the truth-table tests (FDR .05, documents as units)",
                float(named[kind]),
                "holds" if named[kind] else "cannot tell",
                n=results["logic_forms"]["outputs_tested"],
                note="number of output features named so; none is no proof of absence: critical cells must be seen",
            )
            for kind in ("or", "and-not")
        ),
    ]


def eval_command(config: ConnectorEvalConfig, run: Run) -> str:
    """`python -m llm_codes connector eval`."""
    chain = open_chain(config.connector, config.from_, config.to, config.transcoder, config.device)
    model, held_out = open_model_and_corpus(config)
    check_fits(chain.first, model)
    train = open_corpus(replace(config, split="train", tokens=config.fit_tokens), model)
    results = evaluate_chain(
        model,
        chain,
        train,
        held_out,
        budgets=config.frontier,
        edges_tested=config.edges_tested,
        logic_outputs=config.logic_outputs,
        **harvest_options(config),
        seed=config.seed,
    )
    page = Page(f"Connector of {model.name}", f"{chain.first.hook} to {chain.second.hook_out}")
    add_scorecard(page, results)
    add_tests(page, results)
    page.write(run, "scorecard.html")
    run.finish(results, model=model.provenance(), corpus=held_out.describe())
    return text_table([*results["scorecard"], *results["controls"]], ("row", "ce", "ce_delta", "ci", "share_of_gap"))


def show_command(config: ConnectorShowConfig, run: Run) -> str:
    """`python -m llm_codes connector show OF_30`."""
    chain = open_chain(config.connector, config.from_, config.to, device=config.device)
    output = feature_number(config.feature, chain.connector.n_outputs)
    model, corpus = open_model_and_corpus(config)
    pairs = harvest_pairs(model, corpus, chain.first, chain.second, **harvest_options(config))
    into, out_of = ContextIndex(pairs.inputs, pairs, model), ContextIndex(pairs.outputs, pairs, model)
    found = describe_feature(output, chain.connector, pairs, into, out_of)
    run.finish({"feature": found}, model=model.provenance(), corpus=corpus.describe())
    lines = [found["equation"], f"fires on {_quoted(found['fires_on'])}; density {found['density']:.2%}"]
    rows = [{**term, "fires_on": _quoted(term["fires_on"])} for term in found["terms"][:10]]
    contexts = ["..." + _marked(context) for context in found["contexts"]]
    return "\n".join([*lines, text_table(rows), *contexts])


def _quoted(tokens: Sequence[str]) -> str:
    return " ".join(repr(token) for token in tokens) or "nothing here"


def _marked(context: dict[str, Any]) -> str:
    """A context in one line, its token in brackets."""
    texts = [f"[{t}]" if i == context["at"] else t for i, t in enumerate(context["tokens"])]
    return "".join(texts).replace("\n", " ") + f"...  {context['value']:.2f}"


def chain_folder(path: str | Path) -> tuple[str, str, str]:
    """The three folders of a shipped or saved chain: connector, dictionary before, dictionary after."""
    root = Path(path)
    return str(root / "connector"), str(root / "mlp_in"), str(root / "mlp_out")
