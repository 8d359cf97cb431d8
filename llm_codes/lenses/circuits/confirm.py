"""`python -m llm_codes connector confirm`: logic forms that were named on one text, tested once more on another.

Naming a form is a search over thousands; what it finds on a text that choices were made on needs a text that nobody
looked at. The forms, the levels above which a feature counts as on, and the rule are those of the first run. Of the
same corpus, split and seed the windows that the first run read are left out. Axes: token, parent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from eval.errors import UserError
from eval.measures.connectors.logic_forms import LogicForm, retest_forms
from eval.report.tables import text_table
from eval.runs import Run
from llm_codes.configs.connectors import ConnectorConfirmConfig
from llm_codes.corpus import Corpus
from llm_codes.lenses.circuits.reading import on_levels
from llm_codes.lenses.connectors.study import FeaturePairs, harvest_options, harvest_pairs
from llm_codes.lenses.saes.command import open_corpus
from llm_codes.lenses.saes.contexts import ContextIndex
from llm_codes.models import load_model

KINDS = ("single", "or", "and-not", "and", "k-of-n")


def form_json(form: LogicForm, into: ContextIndex) -> dict[str, Any]:
    """A form as `results.json` holds it; parents are labelled with tokens they fire on."""
    words = {parent: f"IF_{parent} ({into.label(parent)})" for parent in form.parents}
    return {
        "kind": form.kind,
        "words": form.words(words),
        "parents": list(form.parents),
        "need": form.need,
        "precision": form.precision,
        "recall": form.recall,
        "support": form.support,
        "adjusted_p": form.adjusted,
    }


def named_forms_json(
    named: Mapping[int, LogicForm | None], pairs: FeaturePairs, into: ContextIndex
) -> list[dict[str, Any]]:
    """Every named form with the levels above which its features count as on: what a second test needs."""
    levels_in, levels_out = on_levels(pairs.inputs), on_levels(pairs.outputs)
    return [
        {"output": output, **form_json(form, into), "output_on_above": float(levels_out[output])}
        | {"parents_on_above": [float(levels_in[parent]) for parent in form.parents]}
        for output, form in named.items()
        if form is not None
    ]


def confirm_forms(forms: Sequence[Mapping[str, Any]], pairs: FeaturePairs) -> list[dict[str, Any]]:
    """Each form with its numbers on this text: `kept`, `precision`, `recall`, `support`, `adjusted_p`, and the first
    text's as `first_precision`, `first_recall`; `reason` where it could not be tested. Documents are the units."""
    tests = []
    for form in forms:
        fires = pairs.outputs.column(form["output"]).numpy() > form["output_on_above"]
        on = pairs.inputs.columns(form["parents"]).numpy() > np.array(form["parents_on_above"])
        nan = float("nan")
        tests.append((LogicForm(form["kind"], tuple(form["parents"]), form["need"], nan, nan, 0, nan), fires, on))
    out = []
    for form, now in zip(forms, retest_forms(tests, groups=pairs.document), strict=True):
        line = {key: form[key] for key in ("output", "kind", "words", "parents")} | {"kept": now.named}
        if now.support < 0:
            line |= {"precision": None, "recall": None, "support": None, "adjusted_p": None}
            line["reason"] = "a critical pattern of the parents was seen on fewer than 10 tokens"
        else:
            line |= {"precision": now.precision, "recall": now.recall, "support": now.support}
            line["adjusted_p"] = now.adjusted
        out.append(line | {"first_precision": form["precision"], "first_recall": form["recall"]})
    return out


def summary(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per kind: forms named at first, testable here, kept; median precision and recall of the testable ones."""
    out = []
    for kind in KINDS:
        mine = [line for line in lines if line["kind"] == kind]
        seen = [line for line in mine if line["precision"] is not None]
        row: dict[str, Any] = {"kind": kind, "named": len(mine), "testable": len(seen)}
        row["kept"] = sum(line["kept"] for line in seen)
        for name in ("precision", "recall", "first_precision", "first_recall"):
            row[name] = float(np.median([line[name] for line in seen])) if seen else None
        out.append(row)
    return out


def read_found(folder: str) -> dict[str, Any]:
    """`results.json` of a `connector eval` run.

    Raises:
        UserError: no such run, or one that names no forms.
    """
    path = Path(folder) / "results.json"
    if not path.is_file():
        raise UserError(f"expected the run folder of `connector eval`; got {folder} without results.json; run it first")
    found = json.loads(path.read_text(encoding="utf-8"))
    if not found.get("logic_forms", {}).get("forms"):
        raise UserError(f"expected named logic forms in {path}; got none; run `connector eval` again, on more tokens")
    return found


def unread_windows(corpus: Corpus, first: Mapping[str, Any]) -> Corpus:
    """Without the windows that the first run read, where it read this corpus: they come first in the same order.

    Raises:
        UserError: nothing is left, or the windows are of another length.
    """
    same = all(corpus.provenance.get(key) == first.get(key) for key in ("source", "split", "seed", "sha256"))
    if not same:
        return corpus
    if first["context"] != corpus.context:
        raise UserError(
            f"expected the windows of `connector eval`, {first['context']} tokens long; got {corpus.context}; "
            f"pass --context {first['context']}"
        )
    left = np.arange(int(first["n_windows"]), len(corpus))
    if not len(left):
        raise UserError(
            f"expected text that `connector eval` did not read; it read all {len(corpus)} windows; "
            "raise --tokens or name another --corpus"
        )
    return corpus.select(left)


def command(config: ConnectorConfirmConfig, run: Run) -> str:
    """`python -m llm_codes connector confirm`."""
    from llm_codes.lenses.connectors.command import open_chain

    found = read_found(config.found)
    first = found.get("provenance", {}).get("corpus", {})
    chain = open_chain(config.connector, config.from_, config.to, device=config.device)
    model = load_model(config.model, device=config.device, dtype=config.dtype)
    wanted = replace(config, tokens=config.tokens + int(first.get("n_tokens", 0)))
    corpus = unread_windows(open_corpus(wanted, model), first)
    pairs = harvest_pairs(model, corpus, chain.first, chain.second, **harvest_options(config))
    lines = confirm_forms(found["logic_forms"]["forms"], pairs)
    results = {"summary": summary(lines), "forms": lines, "n_tokens": len(pairs.inputs)}
    results["n_documents"] = corpus.n_documents
    run.finish(results, model=model.provenance(), corpus=corpus.describe())
    return text_table(results["summary"])
