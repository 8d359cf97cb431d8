"""The page of the replacement model: a table of all layers at once, a figure by layer, claims."""

from __future__ import annotations

from collections.abc import Iterable

from eval.claims import claims_rows
from eval.report.page import Section
from eval.runs import Run
from llm_codes.lenses.replacement.figures import draw_by_layer
from llm_codes.lenses.replacement.rows import ALL_LAYERS, ReplacementResults, ReplacementRow

COLUMNS = ("variant", "layer", "ce_delta", "kl", "top1", "ce_recovered", "logit_difference_recovered")


def table_rows(rows: Iterable[ReplacementRow]) -> list[dict[str, str]]:
    """Rows as text, a score with its interval or the reason why it has no value."""
    return [{name: str(getattr(row, name)) for name in COLUMNS} for row in rows]


def add_replacement(section: Section, run: Run, results: ReplacementResults, inputs: str) -> None:
    """Everything that `sae replacement` found."""
    section.text(inputs)
    section.text(
        f"The model itself: {results.ce_model} nats per token. With the active features and the errors of its "
        f"own pass the largest change of a logit is {results.exactness:.1e}. Linear maps and means are fitted on "
        f"{results.fit_tokens:,} training tokens; shuffled transcoders write one another's vectors. What stands in at "
        "a layer reads what reaches it in the replaced model."
    )
    whole = [row for row in results.replacements if row.layer == ALL_LAYERS]
    section.table(table_rows(whole), COLUMNS, caption="All layers at once; 95% intervals over documents")
    section.figure(draw_by_layer(run, results.replacements))
    single = [row for row in results.replacements if row.layer != ALL_LAYERS]
    section.table(table_rows(single), COLUMNS, caption="One layer at a time")
    if results.untrained is not None:
        rows = table_rows(results.untrained.replacements)
        section.table(rows, COLUMNS, caption="Control: the untrained network with transcoders of its own")
    section.table(claims_rows(results.claims), caption="Claims")
