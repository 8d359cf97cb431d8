"""What is explained: a unit is a scalar function of the activations at a site.

Sign policy. Neurons, SAE features and clusters are read as they are. A direction (random projection, PCA,
minimum action) has no preferred sign and no natural zero: it is centred on its mean over the explain documents and,
under the default policy ``skewness``, given the sign that makes its third moment there positive (its rarer, larger side
points up). ``drawn`` keeps the sign it was drawn with. Either way the unit's activation is the positive part relu(x),
for every kind alike: what an explainer sees, what a simulator predicts, and what is scored. [B23] scored a neuron's raw
value; for a ReLU neuron the two agree.
"""

from __future__ import annotations

from dataclasses import dataclass

from eval.errors import UserError, known_name

KINDS = {
    "neuron": "MLP hidden unit after its nonlinearity",
    "random": "random projection r ~ N(0, I/m)",
    "pca": "principal direction of the explain documents' activations",
    "action": "direction of least action along the text (slow feature)",
    "sae": "feature of a sparse autoencoder",
    "cluster": "cluster of spline codes",
}
SIGNED = frozenset({"random", "pca", "action"})
SIGN_POLICIES = ("skewness", "drawn")
CONDITIONS = ("trained", "shuffled", "untrained")
"""``trained`` is the unit itself; ``shuffled`` its activations moved to other windows of the same split; ``untrained``
the same readout (same neuron, same vector) in the model's architecture with fresh weights."""


@dataclass(frozen=True)
class Unit:
    """One scalar function of the activations at a site.

    kind: a key of ``KINDS``. layer: block number. index: neuron, draw, component, feature or cluster number.
    site: hook name it reads. source: what else tells it from units of its kind, as the user named it (``sae:DIR``).
    content: hash of a dictionary's weights, which says whether two sources hold the same units.
    """

    kind: str
    layer: int
    index: int
    site: str = ""
    source: str = ""
    content: str = ""

    @property
    def family(self) -> str:
        """The units it is compared and averaged with: its kind, and its source where it has one (``sae:DIR``)."""
        return f"{self.kind}:{self.source}" if self.source else self.kind

    @property
    def name(self) -> str:
        """Unique within a run: ``neuron/L3/117``, ``sae:DIR/L3/16``."""
        return f"{self.family}/L{self.layer}/{self.index}"

    @property
    def is_signed(self) -> bool:
        return self.kind in SIGNED


def parse_kinds(specifications: tuple[str, ...]) -> list[tuple[str, str]]:
    """``("neuron", "sae:runs/sae")`` as (kind, source) pairs; ``sae`` needs a folder after the colon.

    Raises ``UserError`` for an unknown kind (with the nearest), an SAE without a folder, a source of any other kind,
    a repeated entry, and an empty list.
    """
    out: list[tuple[str, str]] = []
    for specification in specifications:
        kind, _, source = specification.partition(":")
        known_name(kind, KINDS, "kind of unit")
        if kind == "sae" and not source:
            raise UserError("expected an SAELens folder after `sae`, got none; write --units neuron,sae:DIR")
        if kind != "sae" and source:
            raise UserError(
                f"expected {kind} alone (its units are drawn or ranked, --per-layer of them), got {specification!r}; "
                f"write {kind}"
            )
        if (kind, source) in out:
            raise UserError(f"{specification!r} stands twice in --units; name it once")
        out.append((kind, source))
    if not out:
        raise UserError(f"expected at least one kind of unit, got none; known: {', '.join(KINDS)}")
    return out
