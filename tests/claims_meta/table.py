"""One row per claims file: a new file without a row fails the test."""

from __future__ import annotations

from tests.claims_meta import (
    closed_forms,
    connectors,
    curves,
    dropout_channel,
    explanations,
    image_polytopes,
    incidental,
    language,
    language_polytopes,
    layer_weights,
    one_way,
    replaced,
    superposition,
    sweep,
    unwrapped,
)
from tests.claims_meta.rows import Row

TABLE: dict[str, Row] = {
    "eval.explanation.comparison.claims": explanations.ROW,
    "llm_codes.lenses.circuits.claims": connectors.ROW,
    "llm_codes.lenses.faithfulness.claims": curves.ROW,
    "llm_codes.lenses.polytopes.claims": language_polytopes.ROW,
    "llm_codes.lenses.replacement.claims": replaced.ROW,
    "llm_codes.lenses.spectra.claims": language.SPECTRA,
    "llm_codes.lenses.trajectories.claims": language.TRAJECTORIES,
    "llm_codes.lenses.weights.claims": layer_weights.ROW,
    "toy.capacity.claims": closed_forms.CAPACITY,
    "toy.dropout_channel.claims": dropout_channel.ROW,
    "toy.incidental.claims": incidental.ROW,
    "toy.one_way.claims": one_way.ROW,
    "toy.spectra.claims": closed_forms.SPECTRA,
    "toy.superposition.claims": superposition.ROW,
    "vision_codes.lenses.polytopes.claims": image_polytopes.ROW,
    "vision_codes.lenses.sweep.claims": sweep.ROW,
    "vision_codes.lenses.unwrap.claims": unwrapped.ROW,
}
"""By module."""
NO_STATEMENTS = {
    "eval.claims": "the claim itself",
    "toy.claims": "runs the claims of every experiment",
    "toy.configs.claims": "options",
}
"""Files of that name that judge nothing."""
