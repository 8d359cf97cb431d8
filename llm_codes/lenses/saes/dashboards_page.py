"""Feature dashboards on a page: one block per feature."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from eval.report.page import Page
from llm_codes.lenses.saes.rows import Context, FeatureEntry

STYLE = "#features details { margin: 16px 0; } #features .bars { display: block; margin: 6px 0; }"


def add_dashboards(page: Page, entries: Sequence[FeatureEntry], title: str = "Features") -> None:
    """A chapter with one block per feature."""
    page.style(STYLE)
    section = page.section(title, "features")
    section.text(
        "Labels are the tokens that carry most of a feature's activation, not explanations. Bars: tokens by "
        "activation, from 0 to the largest, heights on a logarithmic scale. Contexts: the strongest, one per window, "
        "the token that fires marked, its activation behind. Promotes, demotes: tokens whose logits the feature's "
        "vector raises and lowers most directly."
    )
    for entry in entries:
        words = " ".join(repr(token) for token in entry.top)
        summary = f"feature {entry.feature}: {words or 'silent on these tokens'} (density {entry.density:.2%})"
        body = _bars(entry.histogram, entry.largest)
        if entry.promotes is not None:
            body += Markup("<p>promotes {}; demotes {}</p>").format(
                " ".join(map(repr, entry.promotes)), " ".join(map(repr, entry.demotes or ()))
            )
        body += Markup("").join(_context(context) for context in entry.contexts)
        section.markup(Markup("<details open><summary>{}</summary>{}</details>").format(summary, body))


def _bars(counts: Sequence[int], largest: float) -> Markup:
    """A histogram as a strip of bars; heights are log(1 + count)."""
    top = max(1.0, math.log1p(max(counts, default=0)))
    bars = Markup("").join(
        Markup('<rect x="{}" y="{:.1f}" width="14" height="{:.1f}"><title>{} tokens</title></rect>').format(
            16 * i, 30 - 28 * math.log1p(count) / top, 28 * math.log1p(count) / top, count
        )
        for i, count in enumerate(counts)
    )
    template = Markup('<svg class="bars" viewBox="0 0 260 32" width="260" height="32" fill="#0072b2">{}{}</svg>')
    words = Markup('<text x="166" y="28" font-size="11" fill="#5c6470">to {:.3g}</text>').format(largest)
    return template.format(bars, words)


def _context(context: Context) -> Markup:
    texts = [text.replace("\n", "\u21b5") for text in context.tokens]
    pieces = [
        Markup("<mark>{}</mark>").format(text) if i == context.at else Markup("{}").format(text)
        for i, text in enumerate(texts)
    ]
    return Markup('<p class="window">{} &nbsp; {:.2f}</p>').format(Markup("").join(pieces), context.value)
