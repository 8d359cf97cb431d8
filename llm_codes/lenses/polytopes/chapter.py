"""Figures and the report chapter of `polytopes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from eval.report.figures import SavedFigure
from eval.report.page import Page

if TYPE_CHECKING:
    pass


def tables(results: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Rows of the CSV tables, by name."""
    clusters = [
        {"clusters_of": kind, "cluster": card["cluster"], "n": card["n"], "stability": card["stability"],
         "tokens": " ".join(f"{t['token']!r}:{t['n']}" for t in card["tokens"]),
         **{f"{label}_{key}": card[label][key] for label in ("token", "next_token", "document")
            for key in ("entropy_bits", "null_bits", "reduction", "purity", "q", "monosemantic")}}
        for kind in ("codes", "activations") for card in results["clusters"][kind]["cards"]
    ]  # fmt: skip
    directions = [
        {"method": kind, "direction": number, **row, "top_tokens": " ".join(map(repr, row["top_tokens"]))}
        for kind in ("nmf", "pca")
        for number, row in enumerate(results["directions"][kind]["rows"])
    ]
    rays = [{"network": name, **row} for name, rows in results["rays"].items() for row in rows]
    return {
        "predictions": results["predictions"],
        "density": results["density"],
        "clusters": clusters,
        "directions": directions,
        "boundaries": results["directions"]["boundaries"],
        "rays": rays,
        "dictionaries": results["dictionary"],
    }


def add_chapter(page: Page, results: dict[str, Any], figures: dict[str, SavedFigure]) -> None:
    """The chapter of a page; the same in `polytopes` and in `report`."""
    section = page.section("Polytopes", "polytopes")
    code = results["code"]
    section.text(
        f"{code['n_items']} tokens, {code['map']['n_bits']} bits each, {code['n_distinct']} distinct codes. A bit is 1 "
        "where a hidden unit's pre-activation is above 0; the code partitions the input "
        f"{code['map']['input_site']}."
    )
    section.table(results["predictions"], caption="The paper's statements")
    for kind in ("codes", "activations"):
        _add_clusters(section, kind, results["clusters"][kind])
    section.figure(figures["density"])
    columns = ["class", "layer", "n_classes", "intra", "inter", "difference", "difference_ci", "exact_intra",
               "exact_inter", "soft_intra", "soft_inter"]  # fmt: skip
    section.table(results["density"], columns, "Density; exact: crossings of the block itself, closed form")
    for name in ("cosines", "rays"):
        if name in figures:
            section.figure(figures[name])
    section.table(results["dictionary"], caption="Dictionaries, held-out documents")
    section.table([results["maps"]["frozen"]], caption="Relative errors of the frozen local maps")


def _add_clusters(section: Any, kind: str, block: dict[str, Any]) -> None:
    pure, count = block["n_monosemantic_token_or_next"], block["n_clusters"]
    label = "approximate" if block["approximate"] else "exact"
    section.text(
        f"Clusters of {kind} ({block['metric']}, {label}): {count}, noise {100 * block['noise_share']:.0f}%; "
        f"{pure} of {count} are less mixed in token or next token than chance."
    )
    if block["reason"]:
        section.warning(f"No clusters of {kind}: {block['reason']}.")
    for card in block["cards"][:20]:
        words = ", ".join(f"{t['token']!r} {t['n']}" for t in card["tokens"])
        items = Markup("").join(
            Markup("<li>&hellip;{} <b>{}</b></li>").format(e["before"], e["token"]) for e in card["exemplars"]
        )
        section.details(f"cluster {card['cluster']}: {card['n']} tokens: {words}", Markup("<ul>{}</ul>").format(items))
