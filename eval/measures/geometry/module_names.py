"""Where in the module tree did an operation stand? Paths for messages, names for sites, layers one can cut at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from eval.measures.geometry.piecewise_linear import Step


@dataclass
class ModuleNames:
    """spans: which graph nodes each module call made, (path, first node, one past the last); label: of the network."""

    spans: list[tuple[str, int, int]]
    label: str
    used: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.spans = [span for span in self.spans if span[0]]

    def path(self, place: int) -> str:
        """The innermost module around a graph node; the network's label outside all."""
        inside = [span for span in self.spans if span[1] <= place < span[2]]
        return min(inside, key=lambda span: span[2] - span[1])[0] if inside else self.label

    def site(self, place: int, operation: str) -> str:
        """``path:operation``, unique: the second of a name is ``#2``."""
        inside = [span for span in self.spans if span[1] <= place < span[2]]
        leaf = min(inside, key=lambda span: span[2] - span[1]) if inside else None
        name = operation if leaf is None else f"{leaf[0]}:{operation}"
        self.used[name] = self.used.get(name, 0) + 1
        count = self.used[name]
        return name if count == 1 else f"{name}#{count}"

    def cuts(self, steps: Sequence[Step], origin: dict[str, int], source: str, output: str) -> dict[str, str]:
        """Layer name -> value, for values that alone carry everything forward, named by the module that ends there."""
        last_use = {name: i for i, step in enumerate(steps) for name in step.sources}
        last_use[output] = len(steps)
        alone, live = set(), {source}
        for i, step in enumerate(steps):
            live = {name for name in live | {step.name} if last_use.get(name, -1) > i}
            if live == {step.name}:
                alone.add(step.name)
        cuts = {"input": source}
        for path, start, end in sorted(self.spans, key=lambda span: (span[2], span[1])):
            inside = [step.name for step in steps if start <= origin.get(step.name, -1) < end]
            if inside and inside[-1] in alone and inside[-1] != output:
                owner = next((key for key, value in cuts.items() if value == inside[-1]), None)
                if owner is None or path.count(".") < owner.count("."):
                    cuts = {key: value for key, value in cuts.items() if key != owner}
                    count = 1 + sum(key.split("#")[0] == path for key in cuts)
                    cuts[path if count == 1 else f"{path}#{count}"] = inside[-1]
        order = {name: i for i, name in enumerate([source, *(step.name for step in steps)])}
        return dict(sorted(cuts.items(), key=lambda item: order[item[1]]))
