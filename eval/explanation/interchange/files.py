"""Every file that other readers open, of one run: records, scored simulations, Neuronpedia's lists."""

from __future__ import annotations

from collections.abc import Mapping

from eval.explanation.interchange.neuron_record import file_names, write_neuron_records
from eval.explanation.interchange.neuronpedia import activation_of, explanation_of, rows_text
from eval.explanation.interchange.scored_simulation import write_simulation_results
from eval.explanation.records import Book
from eval.explanation.rescoring.predictions import FILE, UnitPredictions, read_predictions
from eval.runs import Run


def write_interchange(run: Run, book: Book, words: Mapping[str, str | None], model: str, explainer: str) -> None:
    """``records/`` (OpenAI's NeuronRecord), ``explanations/`` (ScoredSimulation, where predictions are kept) and
    ``neuronpedia/`` of the units of a book.

    words: explanation by unit name. model, explainer: as they are called in Neuronpedia's files.
    """
    write_neuron_records(run, book, [words.get(unit.name) for unit in book.units])
    told = [(unit, text) for unit in book.units if (text := words.get(unit.name))]
    run.write_text("neuronpedia/explanations.json", rows_text(explanation_of(model, u, t, explainer) for u, t in told))
    windows = ((unit, book.top(place, "score")) for place, unit in enumerate(book.units))
    rows = (activation_of(model, unit, record) for unit, records in windows for record in records)
    run.write_text("neuronpedia/activations.json", rows_text(rows))
    if not run.path(FILE).is_file():
        return
    parts: dict[str, list[UnitPredictions]] = {}
    for one in read_predictions(run.folder):
        if one.condition == "trained":
            parts.setdefault(one.unit.name, []).append(one)
    for name, stem in zip(parts, file_names(list(parts)), strict=True):
        write_simulation_results(run.path(f"explanations/{stem}.jsonl"), parts[name])
