"""The polytope chapter: its part of a page, its tables, and its part of a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from eval.report.figures import SavedFigure
from eval.report.page import Page, Section
from eval.results import Result
from eval.runs import Run
from llm_codes.lenses.polytopes.claims import judge, judged
from llm_codes.lenses.polytopes.cluster_rows import ClusterCard, ClusterSummary, LabelTest
from llm_codes.lenses.polytopes.figures import draw
from llm_codes.lenses.polytopes.results import Polytopes
from llm_codes.lenses.polytopes.study import polytopes

if TYPE_CHECKING:
    from llm_codes.configs.polytopes import PolytopesOptions
    from llm_codes.corpus import Corpus
    from llm_codes.inputs import Inputs

DENSITY_COLUMNS = (
    "class", "layer", "n_classes", "intra", "inter", "difference", "difference_ci", "exact_intra", "exact_inter",
    "soft_intra", "soft_inter",
)  # fmt: skip

FLOW_COLUMNS = (
    "network", "first", "second", "in_both", "split", "merged", "split_bits", "merged_bits", "agreement",
    "neighbours_kept", "neighbours_kept_ci", "neighbours_by_chance",
)  # fmt: skip
INTERVENTION_COLUMNS = (
    "network", "cluster", "values", "n_items", "flipped", "towards", "towards_ci", "towards_random", "beyond_random",
    "beyond_random_ci", "token_changed", "token_changed_random",
)  # fmt: skip


def chapter(inputs: Inputs, corpus: Corpus, options: PolytopesOptions, run: Run, page: Page) -> Polytopes:
    """Compute (stages are kept in `run`), judge, draw, and write the chapter; for command and report.

    corpus: the view of the inputs that is read.
    """
    found = polytopes(inputs.model, corpus, options, inputs.options, seed=inputs.seed, run=run)
    results = judged(found, judge(found, inputs.seed))
    if run.writes:
        add_chapter(page, results, draw(run, found))
    return results


def _json(rows: Iterable[Result]) -> list[dict[str, Any]]:
    return [row.to_json() for row in rows]


def tables(results: Polytopes) -> Mapping[str, list[dict[str, Any]]]:
    """Rows of the CSV tables, by name."""
    kinds = {"codes": results.clusters.codes, "activations": results.clusters.activations}
    clusters = [_card_row(kind, card) for kind, block in kinds.items() for card in block.cards]
    sets = {"nmf": results.directions.nmf, "pca": results.directions.pca}
    directions = [
        {"method": kind, "direction": number, **row.to_json(), "top_tokens": " ".join(map(repr, row.top_tokens))}
        for kind, found in sets.items()
        for number, row in enumerate(found.directions)
    ]
    return {
        "predictions": _json(results.predictions),
        "density": _json(results.density),
        "clusters": clusters,
        "directions": directions,
        "boundaries": _json(results.directions.boundaries),
        "rays": [{"network": name, **row.to_json()} for name, rows in results.rays.items() for row in rows],
        "dictionaries": _json(results.dictionary),
        "flow": _json(results.flow),
        "interventions": _json(results.interventions),
    }


def _card_row(kind: str, card: ClusterCard) -> dict[str, Any]:
    row: dict[str, Any] = {"clusters_of": kind, "cluster": card.cluster, "n": card.n, "stability": card.stability}
    row["tokens"] = " ".join(f"{one.token!r}:{one.n}" for one in card.tokens)
    families: dict[str, LabelTest] = {"token": card.token, "next_token": card.next_token, "document": card.document}
    return row | {f"{name}_{key}": value for name, test in families.items() for key, value in test.to_json().items()}


def add_chapter(page: Page, results: Polytopes, figures: Mapping[str, SavedFigure]) -> None:
    """The chapter of a page; the same in `polytopes` and in `report`."""
    section = page.section("Polytopes", "polytopes")
    code = results.code
    section.text(
        f"{code.n_items} tokens, {code.map['n_bits']} bits each, {code.n_distinct} distinct codes. A bit is 1 "
        "where a hidden unit's pre-activation is above 0; the code partitions the input "
        f"{code.map['input_site']}."
    )
    section.table(
        _json(results.predictions),
        caption="The paper's statements; each holds only where the untrained network is clearly behind",
    )
    for kind, block in (("codes", results.clusters.codes), ("activations", results.clusters.activations)):
        _add_clusters(section, kind, block)
    section.figure(figures["density"])
    caption = "Density; exact: crossings of the block itself, closed form"
    section.table(_json(results.density), DENSITY_COLUMNS, caption)
    for name in ("cosines", "neurons", "rays"):
        if name in figures:
            section.figure(figures[name])
    section.table(_json(results.dictionary), caption="Dictionaries, held-out documents")
    section.table([dict(results.maps.frozen)], caption="Relative errors of the frozen local maps")
    caption = "From MLP to MLP: clusters of codes that split and merge, nearest five tokens that stay"
    section.table(_json(results.flow), FLOW_COLUMNS, caption)
    if results.interventions:
        caption = (
            "The code of a cluster set by hand at tokens outside it: gain in log-probability (nats) of what "
            "follows the cluster's tokens, and the same with as many units moved at random; continued: the cluster's "
            "linear map at the token's own pre-activations, outside the cluster's region; mirrored: with the "
            "pre-activations reflected into that region"
        )
        section.table(_json(results.interventions), INTERVENTION_COLUMNS, caption)


def _add_clusters(section: Section, kind: str, block: ClusterSummary) -> None:
    pure, count = block.n_monosemantic_token_or_next, block.n_clusters
    section.text(
        f"Clusters of {kind} ({block.metric}, exact): {count}, noise {100 * block.noise_share:.0f}%; "
        f"{pure} of {count} are less mixed in token or next token than chance."
    )
    if block.reason:
        section.warning(f"No clusters of {kind}: {block.reason}.")
    for card in block.cards[:20]:
        words = ", ".join(f"{one.token!r} {one.n}" for one in card.tokens)
        items = Markup("").join(
            Markup("<li>&hellip;{} <b>{}</b></li>").format(e.before, e.token) for e in card.exemplars
        )
        section.details(f"cluster {card.cluster}: {card.n} tokens: {words}", Markup("<ul>{}</ul>").format(items))
