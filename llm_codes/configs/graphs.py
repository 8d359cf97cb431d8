"""Options of attribution graphs."""

from __future__ import annotations

from dataclasses import dataclass

from eval.errors import UserError
from eval.options import Options, option


@dataclass(frozen=True, kw_only=True)
class GraphOptions(Options):
    """What a graph explains, and how much of it is kept."""

    target: str = option("", "explain this next token (default: the most probable ones)")
    against: str = option("", "explain the logit difference between --target and this token")
    top_logits: int = option(10, "most probable next tokens explained, at most", at_least=1)
    probability: float = option(0.95, "they stop where they sum to this probability", above=0, at_most=1)
    max_features: int = option(7500, "active features in the graph, the strongest ones (0: all)", at_least=0)
    node_share: float = option(0.8, "influence that the nodes left after pruning carry", above=0, at_most=1)
    edge_share: float = option(0.98, "influence that the edges left after pruning carry", above=0, at_most=1)
    featureless_positions: int = option(
        1, "leading positions whose MLPs stay errors (dictionaries are trained without position 0)", at_least=0
    )
    graph_memory_gb: float | None = option(
        8.0, "refuse a graph that would take more (none: no limit)", above=0, identity=False
    )

    def validate(self) -> None:
        if self.against and not self.target:
            raise UserError(f"expected --target beside --against {self.against!r}; got none; give both tokens")
        if self.against and self.against == self.target:
            raise UserError(f"expected two tokens; got {self.target!r} as --target and --against; give another one")
