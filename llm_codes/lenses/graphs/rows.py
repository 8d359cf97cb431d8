"""What a graph is, and what of it is printed, tabled and saved."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from eval.measures.graphs.influence import Pruned
from eval.result_json import noted
from eval.results import Result, result
from llm_codes.lenses.graphs.edge_rows import EdgeTests
from llm_codes.lenses.graphs.supernodes.rows import GraphSupernodes
from llm_codes.lenses.graphs.targets import LogitTarget

FEATURE, ERROR, TOKEN, LOGIT = "feature", "error", "token", "logit"


@result
class Node(Result):
    """A node of a graph.

    layer: -1 for tokens, the number of layers for logits. feature: its number in the layer's dictionary, the id of a
    token or logit, or none. activation: of a feature; the probability of a logit. influence: on the logits, all paths.
    """

    kind: str
    layer: int
    position: int
    feature: int | None
    label: str
    activation: float | None
    influence: float | None


@result
class GraphEdge(Result):
    """A kept edge: numbers of its nodes, and the direct effect."""

    source: int
    target: int
    effect: float


@result
class HeadLoading(Result):
    """What of an edge passes through one head, in units of the edge."""

    layer: int
    head: int
    effect: float


@result
class EdgeHeads(Result):
    """An edge and what carries it. residual: through no head; heads: the largest loadings."""

    source: int
    target: int
    effect: float
    residual: float
    heads: tuple[HeadLoading, ...]


@result
class QKPair(Result):
    """A part of the stream at the query, one at the key, and what the pair adds to a head's score; above_other_keys:
    less what the same query part finds on average over all keys, shared out over the parts of this key."""

    query: str
    key: str
    score: float
    above_other_keys: float


@result
class QKAttribution(Result):
    """Why a head looks from a query at a key. pattern: its weight there; score: before softmax; above_other_keys: score
    less its mean over keys; pairs: the largest."""

    layer: int
    head: int
    query: int
    key: int
    pattern: float
    score: float
    above_other_keys: float
    pairs: tuple[QKPair, ...]


@result
class GraphSummary(Result):
    """A graph in numbers.

    active: features that are on; kept: those in the graph. nodes, edges: after pruning. replacement, completeness: see
    `replacement_and_completeness`. remainder: largest gap between an activation and the sum of its row, relative.
    """

    prompt: str
    tokens: int
    targets: tuple[str, ...]
    active: int
    kept: int
    nodes: int
    edges: int
    replacement: float
    completeness: float
    remainder: float
    seconds: float | None = noted(default=None, when_set=True)


@result
class GraphResults(Result):
    """`results.json` of `circuit graph`: one row a prompt, and their edges tested together."""

    table = "graphs"
    columns = ("prompt", "tokens", "active", "kept", "nodes", "edges", "replacement", "completeness", "remainder")

    graphs: tuple[GraphSummary, ...]
    files: tuple[str, ...]
    tests: EdgeTests | None = noted(default=None, when_set=True)
    tests_reason: str | None = noted(default=None, when_set=True)
    supernodes: tuple[GraphSupernodes, ...] = ()


@dataclass(frozen=True, eq=False)
class AttributionGraph:
    """The attribution graph of one prompt.

    features: [feature, 3] layer, position, number, ordered so. activations: of each.
    edges: [target, source], direct effects. Targets: features, then logits. Sources: features, then errors (by layer
    and position), then tokens. biases: [target, bias], what the row has from constants (`bias_names`), so that
    edges and biases of a row sum to the activation. pruned: what is kept and the influence of every source.
    n_active: features that are on, also those beyond `max_features`.
    """

    model_name: str
    n_layers: int
    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]
    targets: tuple[LogitTarget, ...]
    features: Int[Tensor, "feature 3"]
    activations: Float[Tensor, " feature"]
    edges: Float[Tensor, "target source"]
    biases: Float[Tensor, "target bias"]
    bias_names: tuple[str, ...]
    pruned: Pruned
    n_active: int
    replacement: float
    completeness: float
    node_share: float
    seconds: float

    @property
    def n_features(self) -> int:
        return len(self.activations)

    @property
    def n_positions(self) -> int:
        return len(self.tokens)

    @property
    def n_errors(self) -> int:
        return self.n_layers * self.n_positions

    @property
    def prompt(self) -> str:
        return "".join(self.tokens)

    def remainder(self) -> float:
        """Largest gap between a target's value and the sum of its edges and biases, relative to the largest value."""
        values = self.activations.new_tensor([*self.activations.tolist(), *(t.value for t in self.targets)])
        gap = (self.edges.sum(1) + self.biases.sum(1) - values).abs().max()
        return float(gap / values.abs().max().clamp(min=1e-30))

    def node(self, number: int) -> Node:
        """A node by its number: sources in the order of the columns, then the logits."""
        n, errors, positions = self.n_features, self.n_errors, self.n_positions
        if number < n:
            layer, position, feature = self.features[number].tolist()
            influence = float(self.pruned.influence[number])
            value = float(self.activations[number])
            return Node(FEATURE, layer, position, feature, f"feature {feature}", value, influence)
        if number < n + errors:
            layer, position = divmod(number - n, positions)
            return Node(ERROR, layer, position, None, "error", None, float(self.pruned.influence[number]))
        if number < n + errors + positions:
            place = number - n - errors
            influence = float(self.pruned.influence[number])
            return Node(TOKEN, -1, place, self.token_ids[place], self.tokens[place], None, influence)
        target = self.targets[number - n - errors - positions]
        return Node(LOGIT, self.n_layers, positions - 1, target.token, target.label, target.probability, None)

    def kept_nodes(self) -> list[int]:
        """Numbers of the nodes that pruning leaves, logits included."""
        sources = self.pruned.sources.nonzero().flatten().tolist()
        first = self.n_features + self.n_errors + self.n_positions
        return [*sources, *range(first, first + len(self.targets))]

    def kept_edges(self) -> list[GraphEdge]:
        """Edges that pruning leaves, strongest first."""
        target, source = self.pruned.edge_targets, self.pruned.edge_sources
        effect = self.edges[target, source]
        order = effect.abs().argsort(descending=True)
        first = self.n_errors + self.n_positions
        found = zip(source[order].tolist(), target[order].tolist(), effect[order].tolist(), strict=True)
        return [GraphEdge(s, t if t < self.n_features else t + first, e) for s, t, e in found]

    def summary(self) -> GraphSummary:
        """The graph in numbers."""
        return GraphSummary(
            prompt=self.prompt,
            tokens=self.n_positions,
            targets=tuple(target.label for target in self.targets),
            active=self.n_active,
            kept=self.n_features,
            nodes=int(self.pruned.sources.sum()) + len(self.targets),
            edges=len(self.pruned.edge_targets),
            replacement=self.replacement,
            completeness=self.completeness,
            remainder=self.remainder(),
            seconds=self.seconds,
        )

    def __repr__(self) -> str:
        return f"AttributionGraph({self.summary()!r})"
