"""How much of a dictionary's quality do its random baselines have, and would another seed find the same features?

    beside(model, corpus, found, [load_sae("run/...-frozen-decoder"), load_sae("untrained-run")])
    stability(sae, load_sae("other-seed/..."))

Shares reached: explained variance (1 - FVU), and cross-entropy recovered against mean ablation, of the baseline over
the dictionary's own. 1 says that training what the baseline holds at random bought nothing. Undefined where the
dictionary itself explains or recovers nothing. The dictionary of an untrained model (Heap et al. 2025) is measured on
that model, whose activations it was trained on: what it explains and recovers there is no lesson of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eval.errors import UserError
from eval.measures.dictionaries.stability import match
from eval.measures.dictionaries.step_options import NONE
from eval.scores import Score
from llm_codes.corpus import Corpus
from llm_codes.lenses.saes.evaluation import evaluate_dictionaries
from llm_codes.lenses.saes.files import open_dictionary
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.matching import check_fits
from llm_codes.lenses.saes.rows import ANOTHER, UNTRAINED, BaselineRow, DictionaryEvaluation, Stability
from llm_codes.models import Model, untrained_like


def model_of(model: Model, sae: SAEFolder) -> Model:
    """The model that a dictionary reads: this one, or its untrained copy where the dictionary says so."""
    seed = sae.metadata.get("untrained_seed")
    return model if seed is None or model.untrained else untrained_like(model, int(seed))


def open_beside(model: Model, sae: SAEFolder, folders: Sequence[str], flag: str) -> list[SAEFolder]:
    """The dictionaries to set beside another, before any work.

    Raises:
        UserError: one that does not open, does not fit the model, or reads or writes elsewhere.
    """
    opened = [open_dictionary(folder) for folder in folders]
    found = [check_fits(other, model_of(model, other)) for other in opened]
    for other in found:
        if (other.hook, other.hook_out) != (sae.hook, sae.hook_out):
            raise UserError(
                f"expected dictionaries of {sae.place} in {flag}; got {other.name} of {other.place}; name one of "
                "the same site"
            )
    return found


def beside(
    model: Model, corpus: Corpus, found: DictionaryEvaluation, baselines: Sequence[SAEFolder], **options: Any
) -> list[BaselineRow]:
    """Baselines measured as the dictionary was, on the same text, with the shares they reach; in their order.

    options: of `evaluate_dictionaries`. Those of one model are measured on one walk.
    """
    rows: dict[int, BaselineRow] = {}
    for seed in dict.fromkeys(baseline.metadata.get("untrained_seed") for baseline in baselines):
        places = [n for n, one in enumerate(baselines) if one.metadata.get("untrained_seed") == seed]
        some = [baselines[place] for place in places]
        measured = evaluate_dictionaries(model_of(model, some[0]), corpus, some, **options)
        rows |= {n: _row(baselines[n], one, found) for n, one in zip(places, measured, strict=True)}
    return [rows[number] for number in sorted(rows)]


def _row(baseline: SAEFolder, measured: DictionaryEvaluation, found: DictionaryEvaluation) -> BaselineRow:
    return BaselineRow(
        baseline.name,
        baseline_of(baseline),
        measured.l0,
        measured.fvu,
        measured.ce_delta,
        measured.ce_recovered_mean,
        measured.kl,
        explained_reached=_share(_left(measured.fvu), _left(found.fvu)),
        recovered_reached=_share(measured.ce_recovered_mean.value, found.ce_recovered_mean.value),
        training_tokens=baseline.metadata.get("training_tokens"),
    )


def baseline_of(sae: SAEFolder) -> str:
    """What was held at random while it was trained, as its folder says; `another dictionary` where it says nothing."""
    if sae.metadata.get("untrained_seed") is not None:
        return UNTRAINED
    said = sae.metadata.get("neural_codes") or {}
    kind = said.get("baseline", NONE) if isinstance(said, dict) else NONE
    return ANOTHER if kind == NONE else str(kind)


def stability(sae: SAEFolder, partner: SAEFolder, seed: int = 0) -> Stability:
    """Features of a dictionary found again in a partner of another seed, beside random directions."""
    found = match(sae.vectors.cpu(), partner.vectors.cpu(), seed=seed)
    return Stability(partner.name, found.share, found.mean, found.share_random, found.mean_random)


def _left(fvu: Score) -> float | None:
    return None if fvu.value is None else 1 - fvu.value


def _share(reached: float | None, own: float | None) -> Score:
    if reached is None or own is None or own <= 0:
        return Score.undefined("the dictionary itself explains or recovers nothing")
    return Score(reached / own, interval_reason="a ratio of two scores; their intervals stand beside")
