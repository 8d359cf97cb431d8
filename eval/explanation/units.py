"""What is explained: a unit is a scalar function of the activations at a site.

Sign policy. Neurons, SAE features and clusters are read as they are. A direction (random projection, PCA,
minimum action) has no preferred sign and no natural zero: it is centred on its mean over the explain documents and,
under the default policy ``skewness``, given the sign that makes its third moment there positive (its rarer, larger side
points up). ``drawn`` keeps the sign it was drawn with. Either way the unit's activation is the positive part relu(x),
for every kind alike: what an explainer sees, what a simulator predicts, and what is scored. [B23] scored a neuron's raw
value; for a ReLU neuron the two agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.errors import UserError, known_name

KINDS = {
    "neuron": "MLP hidden unit after its nonlinearity",
    "random": "random projection r ~ N(0, I/m)",
    "pca": "principal direction of the explain documents' activations",
    "action": "direction of least action along the text (slow feature)",
    "sae": "feature of a sparse autoencoder",
    "cluster": "cluster of spline codes",
    "direction": "direction that somebody named",
    "function": "function of the activations that somebody named",
}
DRAWN = ("neuron", "random", "pca", "action", "sae", "cluster")
"""Kinds of which a run draws or ranks units itself."""
SIGNED = frozenset({"random", "pca", "action", "direction"})
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

    def label(self, condition: str) -> str:
        """Its kind as it stands in tables: ``neuron``, ``neuron (shuffled)``, ``sae:DIR`` ..."""
        return self.family if condition == "trained" else f"{self.family} ({condition})"

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


@dataclass(frozen=True)
class NamedUnit:
    """A unit named in words: `neuron:LAYER:INDEX`, or `sae:DIR:INDEX` (source: DIR)."""

    kind: str
    index: int
    layer: int = 0
    source: str = ""


def parse_units(specifications: Sequence[str]) -> tuple[list[tuple[str, str]], list[NamedUnit]]:
    """Kinds to draw from, and units by name; an entry that is a file holds one entry a line (`#` starts a comment).

    Raises ``UserError`` as `parse_kinds` does, and for a unit named twice.
    """
    kinds: list[str] = []
    named: list[NamedUnit] = []
    for specification in (line for entry in specifications for line in _lines(entry)):
        head, _, last = specification.rpartition(":")
        if not (last.isdigit() and ":" in head):
            kinds.append(specification)
            continue
        kind, _, middle = head.partition(":")
        if kind == "neuron" and middle.isdigit():
            unit = NamedUnit(kind, int(last), layer=int(middle))
        elif kind == "sae":
            unit = NamedUnit(kind, int(last), source=middle)
        else:
            raise UserError(f"expected neuron:LAYER:INDEX or sae:DIR:INDEX, got {specification!r}")
        if unit in named:
            raise UserError(f"{specification!r} stands twice in --units; name it once")
        named.append(unit)
    if named and not kinds:
        return [], named
    return parse_kinds(tuple(kinds)), named


def _lines(entry: str) -> list[str]:
    path = Path(entry)
    if not (path.suffix and path.is_file()):
        return [entry]
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def parse_kinds(specifications: tuple[str, ...]) -> list[tuple[str, str]]:
    """``("neuron", "sae:runs/sae")`` as (kind, source) pairs; ``sae`` needs a folder after the colon.

    Raises ``UserError`` for an unknown kind (with the nearest), an SAE without a folder, a source of any other kind,
    a repeated entry, and an empty list.
    """
    out: list[tuple[str, str]] = []
    for specification in specifications:
        kind, _, source = specification.partition(":")
        known_name(kind, DRAWN, "kind of unit")
        if kind == "sae" and not source:
            raise UserError("expected an SAELens folder after `sae`, got none; write --units neuron,sae:DIR")
        if kind != "sae" and source:
            raise UserError(
                f"expected {kind} alone (its units are drawn or ranked, --per-layer of them), got {specification!r}; "
                f"write {kind}{', or neuron:LAYER:INDEX for one of them' if kind == 'neuron' else ''}"
            )
        if (kind, source) in out:
            raise UserError(f"{specification!r} stands twice in --units; name it once")
        out.append((kind, source))
    if not out:
        raise UserError(f"expected at least one kind of unit, got none; known: {', '.join(DRAWN)}")
    return out


def compared_kinds(measured: Iterable[tuple[Unit, str]]) -> list[tuple[str, str]]:
    """Which kinds are compared, by label, among units in their conditions: the first kind with every other one, and
    every kind with its own controls. In a layer without the first kind (dictionaries of one layer each), the first
    that is there takes its place."""
    families: dict[str, str] = {}
    by_layer: dict[int, dict[str, None]] = {}
    for unit, condition in measured:
        label = unit.label(condition)
        families[label] = unit.family
        if label == unit.family:
            by_layer.setdefault(unit.layer, {})[label] = None
    controls = [(family, label) for label, family in families.items() if label != family]
    order = {label: place for place, label in enumerate(families)}
    ranked = [sorted(labels, key=order.__getitem__) for labels in by_layer.values()]
    pairs = {(labels[0], other) for labels in ranked for other in labels[1:]}
    return [*sorted(pairs, key=lambda pair: (order[pair[0]], order[pair[1]])), *controls]
