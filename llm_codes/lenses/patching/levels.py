"""What patched pairs license: which parts of a claim were measured, with the number, and the strongest one.

A clean activation that restores the answer is sufficient for it in these prompts, a path whose corruption takes it away
is necessary; the one that does most of its table counts, where it is beyond both controls after Holm.
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_codes.lenses.graphs.levels import Level, above, not_measured
from llm_codes.lenses.patching.activations import HEADS
from llm_codes.lenses.patching.paths import PATHS
from llm_codes.lenses.patching.rows import Patched, PatchingResults

SUFFICIENT, NECESSARY = "sufficiency", "necessity"
OPEN = ("specificity (unrelated prompts)", "consistency (rephrasings, seeds)", "minimality")


def levels_of(results: PatchingResults) -> list[Level]:
    """The head and the path that do most, the strongest features together, and what was not measured."""
    out = []
    for part, name, words in (
        (HEADS, SUFFICIENT, "of single heads its clean output restores most"),
        (PATHS, NECESSARY, "of direct paths its corruption takes away most"),
    ):
        best = _best([row for row in results.patched if row.part == part])
        if best is not None:
            join = " -> " if part == PATHS else ", "
            out.append(Level(name, f"{best.row}{join}{best.column}: {words}", best.restored, best.beyond))
    found = results.features
    if found is not None:
        words = f"the {found.count} strongest features together; at random {found.random}"
        out.append(Level(SUFFICIENT, words, found.strongest, above(found.strongest, found.random)))
    return [*out, *map(not_measured, OPEN)]


def licensed(levels: Sequence[Level]) -> str:
    """The strongest claim that the measured parts license, in a sentence."""
    held = {part for part in (SUFFICIENT, NECESSARY) if any(one.passed for one in levels if one.part == part)}
    if not held:
        return "Licensed: none; what was patched is not told from its controls."
    words = " and ".join(sorted({SUFFICIENT: "restore", NECESSARY: "carry"}[part] for part in held))
    return (
        f"Licensed: single parts {words} some of the answer of these pairs, beyond another pair's activations (heads "
        "and paths also beyond the untrained network's). No circuit is claimed, nor anything about other prompts."
    )


def _best(rows: Sequence[Patched]) -> Patched | None:
    """The row beyond its controls with the largest mean, or, where none is, of all."""
    beyond = [row for row in rows if row.beyond] or list(rows)
    return max(beyond, key=lambda row: row.restored.value or 0.0, default=None)
