"""How much of a dictionary's quality do its random baselines have, and would another seed find the same features?

    beside(model, corpus, found, load_sae("run/...-frozen-decoder"))
    stability(sae, load_sae("other-seed/..."))

Shares reached: explained variance (1 - FVU), and cross-entropy recovered against mean ablation, of the baseline over
the dictionary's own. 1 says that training what the baseline holds at random bought nothing. Undefined where the
dictionary itself explains or recovers nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eval.errors import UserError
from eval.measures.dictionaries.stability import match
from eval.measures.dictionaries.step_options import NONE
from eval.scores import Score
from llm_codes.corpus import Corpus
from llm_codes.lenses.saes.evaluation import evaluate_dictionary
from llm_codes.lenses.saes.files import open_dictionary
from llm_codes.lenses.saes.folder import SAEFolder
from llm_codes.lenses.saes.matching import check_fits
from llm_codes.lenses.saes.rows import BaselineRow, DictionaryEvaluation, Stability
from llm_codes.models import Model


def open_beside(model: Model, sae: SAEFolder, folders: Sequence[str], flag: str) -> list[SAEFolder]:
    """The dictionaries to set beside another, before any work.

    Raises:
        UserError: one that does not open, does not fit the model, or reads or writes elsewhere.
    """
    found = [check_fits(open_dictionary(folder), model) for folder in folders]
    for other in found:
        if (other.hook, other.hook_out) != (sae.hook, sae.hook_out):
            raise UserError(
                f"expected dictionaries of {sae.place} in {flag}; got {other.name} of {other.place}; name one of "
                "the same site"
            )
    return found


def beside(
    model: Model, corpus: Corpus, found: DictionaryEvaluation, baseline: SAEFolder, **options: Any
) -> BaselineRow:
    """A baseline measured as the dictionary was, on the same text, with the shares it reaches."""
    measured = evaluate_dictionary(model, corpus, baseline, **options)
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
    )


def baseline_of(sae: SAEFolder) -> str:
    """What was held at random while it was trained, as its folder says; `another dictionary` where it says nothing."""
    said = sae.metadata.get("neural_codes") or {}
    kind = said.get("baseline", NONE) if isinstance(said, dict) else NONE
    return "another dictionary" if kind == NONE else str(kind)


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
