"""What [FC] says of connectors, judged on an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eval.claims import Claim, needing
from eval.measures.statistics.binomial import binomial_share
from eval.scores import Score
from eval.verdicts import above, below, judged_claim
from llm_codes.lenses.circuits.rows import LogicForms, UntrainedEvaluation
from llm_codes.lenses.connectors.rows import Scorecard, ScorecardRow
from llm_codes.lenses.connectors.scorecard import CONNECTOR

HALF = 0.5
UNTRAINED = "untrained network, dictionaries of its own"
NO_CONTROL = Score.undefined("not measured")


def claims_of(scorecard: Scorecard, logic: LogicForms, untrained: UntrainedEvaluation | None) -> list[Claim]:
    """[FC]'s statements about language models, and this suite's own bound on the connector.

    Two controls each. What the connector does as well with edges drawn at random and weights fitted on an equal budget
    is not the work of the edges that were found; logic forms are shares of the outputs tested, beside the share found
    when every output is tested over the parents of another. And the untrained network with dictionaries and a connector
    of its own (none: not measured, and no statement can hold). The gap is one of KL from the model's own predictions:
    an untrained network's MLP is worth no cross-entropy, so that a share of that has no untrained control.
    """
    controls = {row.row: row.share_of_kl for row in scorecard.controls if row.row.startswith("random edges")}
    beside = {name: one for name, one in controls.items() if one is not None}
    beside[UNTRAINED] = NO_CONTROL if untrained is None else _connector_share(untrained.scorecard)
    score = _connector_share(scorecard.scorecard)
    whole = judged_claim(
        "A connector stands in for the MLP between residual features and MLP-out features",
        "FC, language model",
        "its gap to SAE-out only, in KL from the model's own predictions, is at most half of mean ablation's, and less "
        "than with random edges and than an untrained network's",
        score,
        below(HALF),
        controls=beside,
        note="share of the ablation gap, documents resampled" if score.is_defined else "",
        kind="prediction of ours",
        units="share of the ablation gap in KL",
    )
    return [needing(whole, UNTRAINED), *(_form_claim(kind, logic, untrained) for kind in ("or", "and-not"))]


def _connector_share(rows: Sequence[ScorecardRow]) -> Score:
    row = next(row for row in rows if row.row == CONNECTOR)
    in_loss = "" if row.share_of_gap is None else f"; the share of the gap in cross-entropy is {row.share_of_gap}"
    return row.share_of_kl or Score.undefined(f"no KL was measured{in_loss}")


def _form_claim(kind: str, logic: LogicForms, untrained: UntrainedEvaluation | None) -> Claim:
    forms = None if untrained is None else untrained.logic_forms
    controls = {
        "parents of another output": _share(kind, logic.named_with_others, logic.outputs_with_others),
        UNTRAINED: NO_CONTROL if forms is None else _share(kind, forms.named, forms.outputs_tested),
    }
    found = judged_claim(
        f"Some MLP-out features are an {kind.upper()} of features before the MLP",
        "FC, language model",
        "share of outputs named so by the truth-table tests (FDR .05, documents as units) above 0, and above what the "
        "parents of another output and an untrained network give",
        _share(kind, logic.named, logic.outputs_tested),
        above(0.0),
        controls=controls,
        note=f"{logic.named.get(kind, 0)} of {logic.outputs_tested} outputs; none is no proof of absence: critical "
        "cells must be seen",
        units="share, 0 to 1",
    )
    return needing(found, UNTRAINED)


def _share(kind: str, named: Mapping[str, int] | None, tested: int | None) -> Score:
    """Share of the outputs tested that were named with this kind of form, with its exact interval."""
    if named is None or not tested:
        return Score.undefined("no output could be tested", 0)
    return binomial_share(named.get(kind, 0), tested)
