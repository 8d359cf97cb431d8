"""The page of activation and path patching."""

from __future__ import annotations

from collections.abc import Sequence

from eval.report.page import Section
from eval.runs import Run
from llm_codes.lenses.patching.activations import HEADS, SITES
from llm_codes.lenses.patching.figures import draw_heads, draw_paths, draw_sites
from llm_codes.lenses.patching.levels import levels_of, licensed
from llm_codes.lenses.patching.paths import PATHS
from llm_codes.lenses.patching.rows import FeaturesTogether, Patched, PatchedFeature, PatchingResults

SHOWN = 12
COLUMNS = ("part", "where", "pairs", "restored", "other pair", "untrained", "Holm", "FDR", "beyond both")


def patched_rows(rows: Sequence[Patched]) -> list[dict[str, object]]:
    """Rows as text, a score with its interval or the reason why it has none."""
    beyond = {True: "yes", False: "no", None: "cannot tell"}
    return [
        {
            "part": row.part,
            "where": f"{row.row} -> {row.column}" if row.part == PATHS else f"{row.row}, {row.column}",
            "pairs": row.pairs,
            "restored": str(row.restored),
            "other pair": str(row.other_pair),
            "untrained": str(row.untrained),
            "Holm": "" if row.holm is None else f"{row.holm:.2g}",
            "FDR": "" if row.fdr is None else f"{row.fdr:.2g}",
            "beyond both": beyond[row.beyond],
        }
        for row in rows
    ]


def strongest(rows: Sequence[Patched], parts: Sequence[str], count: int = SHOWN) -> list[Patched]:
    """The rows of some parts with the largest mean, in size."""
    own = [row for row in rows if row.part in parts]
    return sorted(own, key=lambda row: -abs(row.restored.value or 0.0))[:count]


def add_patching(section: Section, run: Run, results: PatchingResults, inputs: str) -> None:
    """Everything that `circuit patch` found."""
    section.text(inputs)
    section.text(
        "Of a pair, the corrupted prompt lacks what the answer needs. One activation of the clean prompt is put into "
        "the corrupted one, and the logit difference of right token and foil is watched: 0 as the corrupted prompt, 1 "
        "as the clean one. A site is beyond both controls where it restores more than the same site of another "
        "document's pair (Holm over its table), and more than in the untrained network, which is asked the same pairs "
        "with tokens of its own."
    )
    section.results(results.kinds, caption="Pairs")
    section.text(_counts(results.patched))
    section.figure(draw_sites(run, results.patched))
    section.figure(draw_heads(run, results.patched))
    section.table(patched_rows(strongest(results.patched, SITES)), COLUMNS, "The sites that restore most")
    section.table(patched_rows(strongest(results.patched, (HEADS,))), COLUMNS, "The heads that restore most")
    if any(row.part == PATHS for row in results.patched):
        section.text(
            "Paths the other way round: in the clean prompt only what one node reads of another is corrupted, along "
            "the residual stream, everything between held at the clean run; the receiver and all above it respond. "
            "1: as much is lost as by corrupting the prompt."
        )
        section.figure(draw_paths(run, results.patched))
        section.table(patched_rows(strongest(results.patched, (PATHS,))), COLUMNS, "The paths that carry most")
    _add_features(section, results)
    levels = levels_of(results)
    section.table([level.to_json() for level in levels], caption="What was measured of a claim about these pairs")
    section.text(licensed(levels))


def _counts(rows: Sequence[Patched]) -> str:
    words = []
    for name, parts in {"sites": SITES, "heads": (HEADS,), "paths": (PATHS,)}.items():
        own = [row for row in rows if row.part in parts]
        if own:
            beyond, open_ = sum(row.beyond is True for row in own), sum(row.beyond is None for row in own)
            words.append(f"{beyond} of {len(own)} {name}" + (f" ({open_} cannot be told)" if open_ else ""))
    return f"Beyond both controls: {', '.join(words)}.{_why_open(rows)}"


def _why_open(rows: Sequence[Patched]) -> str:
    """Why entries cannot be told, where their intervals are what is missing."""
    reasons = {
        score.reason or score.interval_reason
        for row in rows
        for score in (row.restored, row.untrained)
        if row.beyond is None
    }
    given = sorted(reason for reason in reasons if reason)
    return f" Not told: {'; '.join(given)}." if given else ""


def _add_features(section: Section, results: PatchingResults) -> None:
    if results.features is None:
        section.text(f"No features were patched: {results.features_reason}.")
        return
    section.text(
        f"Transcoder features: the {results.features.count} of each pair with the largest estimates (activation "
        "difference times gradient) are set to their clean activations, one by one and together; beside them as many "
        "drawn at random of those that differ between the two prompts, and all of these. Errors stay."
    )
    section.table(
        feature_rows(results.features), caption="What features restore together; 95% intervals over documents"
    )
    section.table(single_rows(results.strongest[:SHOWN]), caption="The single features that restore most")


def feature_rows(found: FeaturesTogether) -> list[dict[str, object]]:
    """What features restore together, and how far estimates foretell single ones."""
    return [
        {
            "what": f"the {found.count} strongest ({found.share:.2%} of those that differ)",
            "value": str(found.strongest),
        },
        {"what": "as many at random", "value": str(found.random)},
        {"what": "all that differ", "value": str(found.everything)},
        {"what": "estimates: share with the sign that was measured", "value": str(found.sign)},
        {"what": "estimates: Spearman correlation", "value": str(found.rank)},
        {"what": "estimates: slope of measured on estimated", "value": str(found.slope)},
    ]


def single_rows(rows: Sequence[PatchedFeature]) -> list[dict[str, object]]:
    """Single features, each of one pair."""
    return [
        {
            "pair": row.pair,
            "feature": f"{row.feature} of layer {row.layer}",
            "at": f"{row.position}: {row.token!r}",
            "clean": round(row.clean, 3),
            "corrupted": round(row.corrupted, 3),
            "estimate": round(row.estimate, 3),
            "restored": round(row.restored, 3),
        }
        for row in rows
    ]
