"""`--dry-run`: every request that would be sent, counted and priced; nothing is sent.

The simulations' requests need explanations that do not exist yet: a text of typical length stands in for each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from eval.explanation.evaluate import Settings, explain_and_score
from eval.explanation.explainers import ChatExplainer, Explanation
from eval.explanation.explaining.best_of import BestOf
from eval.explanation.servers.client import estimated_tokens
from eval.report.tables import text_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eval.explanation.records import Book
    from llm_codes.lenses.explain.backends import Parts

STAND_IN = "words and phrases about a topic, of typical length"


class _StandIn:
    """Asks the real explainer (which only plans), then answers with the stand-in."""

    name = "dry run"

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def explain(self, book: Book, units: Sequence[int]) -> list[Explanation]:
        found = self._parts.explainer.explain(book, units)
        if not isinstance(self._parts.explainer, (BestOf, ChatExplainer)):
            return found
        return [Explanation(f"{STAND_IN} ({book.units[unit].name})") for unit in units]


def describe(parts: Parts, books: Mapping[str, Book], settings: Settings) -> str:
    """The plan as a table: requests, estimated tokens and dollars by kind of request, then the first request."""
    clients = parts.clients
    if not clients:
        return "dry run: printed rules and local models send no requests"
    rows = []
    for condition, book in books.items():
        before = [len(client.planned) for client in clients]
        explain_and_score(
            book,
            _StandIn(parts),
            parts.simulator,
            condition=condition,
            judge=parts.judge,
            settings=replace(settings, n_resamples=2),
        )
        planned = [(c, request) for c, n in zip(clients, before, strict=True) for request in c.planned[n:]]
        tokens = [(client, *estimated_tokens(request)) for client, request in planned]
        rows.append(
            {
                "condition": condition,
                "requests": len(planned),
                "prompt_tokens": sum(prompt for _, prompt, _ in tokens),
                "completion_tokens_at_most": sum(completion for *_, completion in tokens),
                "usd_at_most": sum(client.price(prompt, completion) for client, prompt, completion in tokens),
            }
        )
    every = [request for client in clients for request in client.planned]
    first = json.dumps(every[0], ensure_ascii=False)[:1500] if every else "none"
    total = sum(float(str(row["usd_at_most"])) for row in rows)
    return f"{text_table(rows)}\ntotal at most ${total:.4f} (tokens estimated)\nfirst request: {first}"
