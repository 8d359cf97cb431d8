"""A feature as Neuronpedia publishes it (`/api/feature/MODEL/SOURCE/INDEX`), as one of ours: read from its JSON.

What is read: density, tokens whose logits it raises and lowers, the histogram, where it fires most, explanations.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval.errors import UserError
from eval.results import Result, result
from llm_codes.lenses.saes.rows import Context, FeatureEntry

SHOWN, AROUND = 5, 8


@result
class PublishedFeature(Result):
    """A published feature: its model and source, what our dashboards show of one, and explanations in words."""

    model: str
    source: str
    entry: FeatureEntry
    explanations: tuple[str, ...]


def read_feature(path: str | Path) -> PublishedFeature:
    """A feature from a JSON file of Neuronpedia; what its package returns (`jsonData` in a record) is opened too.

    Raises:
        UserError: no such file, no JSON, or JSON of something else.
    """
    file = Path(path)
    if not file.is_file():
        raise UserError(f"expected a feature's JSON of Neuronpedia; got {file}, which is no file; check the path")
    try:
        held: Any = json.loads(file.read_text("utf-8"))
        held = json.loads(held["jsonData"]) if isinstance(held, dict) and "jsonData" in held else held
    except ValueError as error:
        raise UserError(f"expected JSON in {file}; it is damaged ({error}); fetch it again") from error
    missing = [key for key in ("modelId", "layer", "index") if not isinstance(held, dict) or key not in held]
    if missing:
        raise UserError(f"expected a feature of Neuronpedia in {file}; it has no {missing[0]}; give one feature's JSON")
    said = [entry.get("description") for entry in held.get("explanations") or ()]
    return PublishedFeature(
        str(held["modelId"]), str(held["layer"]), _entry(held), tuple(str(words) for words in said if words)
    )


def _entry(held: dict[str, Any]) -> FeatureEntry:
    contexts = sorted((_context(one) for one in held.get("activations") or ()), key=lambda one: -one.value)
    raised, lowered = (tuple(map(str, held.get(key) or ())) for key in ("pos_str", "neg_str"))
    tops = dict.fromkeys(context.tokens[context.at] for context in contexts)
    return FeatureEntry(
        int(held["index"]),
        float(held.get("frac_nonzero") or 0.0),
        tuple(tops)[:SHOWN],
        tuple(int(count) for count in held.get("freq_hist_data_bar_heights") or ()),
        float(held.get("maxActApprox") or (contexts[0].value if contexts else 0.0)),
        tuple(contexts[:SHOWN]),
        raised or None,
        lowered or None,
    )


def _context(one: dict[str, Any]) -> Context:
    """The strongest token of a text with the tokens around it."""
    values = [float(value) for value in one["values"]]
    at = max(range(len(values)), key=values.__getitem__)
    first = max(0, at - AROUND)
    return Context(tuple(map(str, one["tokens"][first : at + AROUND])), at - first, values[at])
