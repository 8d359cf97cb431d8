"""Simulate with a language model's own logits: windows in one forward pass over a cached few-shot prefix.

The prompt ends in a list ``token<TAB>unknown`` of the whole window [B23, all at once]. The logits after each tab say
which number the model would have written there, and since every number is replaced by the same word, one pass reads all
of them. Two things are added.

- **Ten.** Where the tokenizer writes "10" as "1", "0", the probability of 10 is P("1") P("0" | "1"). A *branch* token
  "1" is placed beside each slot: it sees the prefix up to its tab and nothing else, nothing sees it, and its logits
  give P("0" | "1") in the same pass. P(1) is then P("1") (1 - P("0" | "1") - ...).
- **The prefix** (instructions and few-shot examples) is the same for every window: its keys and values are cached.

Everything here is integers and arrays: the model is a ``SlotModel``, whose torch side lives with the hooked models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from eval.errors import UserError
from eval.explanation.prompts import Message, load_prompt
from eval.explanation.records import LEVELS
from eval.explanation.simulators import Simulation, Task, expected_value
from eval.explanation.tokens import visible

PLACEHOLDER = "unknown"
Encode = Callable[[str], list[int]]


class SlotModel(Protocol):
    """A language model that reads log-probabilities at chosen places of one sequence.

    name: for results. encode: text to ids, no special tokens. render: a conversation that ends in an open assistant
    turn, as text; ``closed`` leaves the last turn as the caller wrote it.
    """

    name: str

    def encode(self, text: str) -> list[int]: ...

    def render(self, messages: Sequence[Message]) -> str: ...

    def slot_logprobs(
        self, prompts: Sequence[SlotPrompt], branches: Sequence[int]
    ) -> Iterable[tuple[Float[np.ndarray, "slot vocabulary"], Float[np.ndarray, "branch slot vocabulary"]]]:
        """Next-token log-probabilities of each prompt after each of its slots, and after slot + one branch token."""
        ...


@dataclass(frozen=True)
class NumberPaths:
    """How a tokenizer writes 0..10 after a tab: each number a path of one or two tokens.

    branches: first tokens of which some number needs the continuation.
    """

    paths: tuple[tuple[int, ...], ...]
    branches: tuple[int, ...]

    @classmethod
    def of(cls, encode: Encode) -> NumberPaths:
        """Read the paths off the tokenizer, in context (after ``a<TAB>``).

        Raises ``UserError`` for a tokenizer that needs three tokens for a number, or writes two numbers alike.
        """
        base = encode("a\t")
        paths = []
        for level in range(LEVELS + 1):
            whole = encode(f"a\t{level}")
            path = whole[len(base) :] if whole[: len(base)] == base else encode(str(level))
            paths.append(tuple(path))
        if any(not 1 <= len(path) <= 2 for path in paths) or len(set(paths)) != len(paths):
            raise UserError(
                f"expected a tokenizer that writes each of 0..10 in one or two tokens, got {paths[-1]} for 10; "
                "choose another --simulator model"
            )
        branches = tuple(dict.fromkeys(path[0] for path in paths if len(path) == 2))
        return cls(tuple(paths), branches)

    def probabilities(
        self, slots: Float[np.ndarray, "slot vocabulary"], after: Float[np.ndarray, "branch slot vocabulary"]
    ) -> Float[np.ndarray, "slot level"]:
        """P(answer = 0..10) at every slot from log-probabilities."""
        out = np.empty((len(slots), LEVELS + 1))
        for level, path in enumerate(self.paths):
            first = np.exp(slots[:, path[0]])
            if len(path) == 2:
                out[:, level] = first * np.exp(after[self.branches.index(path[0])][:, path[1]])
            elif path[0] in self.branches:
                longer = [other[1] for other in self.paths if len(other) == 2 and other[0] == path[0]]
                out[:, level] = first * (1 - np.exp(after[self.branches.index(path[0])][:, longer]).sum(-1))
            else:
                out[:, level] = first
        return out


@dataclass(frozen=True)
class SlotPrompt:
    """One window's prompt as ids: prefix (cached), suffix, and the slots (positions of the tabs in the suffix)."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    slots: tuple[int, ...]


class LocalSimulator:
    """Expected activation by token from one forward pass per window of a local language model."""

    def __init__(self, model: SlotModel) -> None:
        self.model = model
        self.name = model.name
        self.numbers = NumberPaths.of(model.encode)
        few_shot = load_prompt("simulate")
        self._mark = "\u241f"  # cannot occur in a prompt: tells the cached part from the window's own
        head, _, self._opening = model.render([*few_shot, {"role": "user", "content": self._mark}]).partition(
            self._mark
        )
        self.prefix = tuple(model.encode(head))
        self._tab, self._placeholder = model.encode("\t"), model.encode(PLACEHOLDER + "\n")

    def prompt(self, task: Task) -> SlotPrompt:
        """Ids of the window's part; every piece is encoded on its own, so no token straddles a slot."""
        words = [visible(token) for token in task.strings]
        question = f"Explanation: {task.explanation.text}\nText: {''.join(words)}"
        suffix = list(self.model.encode(question + self._opening))  # a copy: it grows below
        slots = []
        for word in words:
            suffix += self.model.encode(word) + self._tab
            slots.append(len(suffix) - 1)
            suffix += self._placeholder
        return SlotPrompt(self.prefix, tuple(suffix[: slots[-1] + 1]), tuple(slots))

    def probabilities(self, prompts: Sequence[SlotPrompt]) -> Iterator[Float[np.ndarray, "slot level"]]:
        """P(0..10) at each slot of each prompt."""
        for at, after in self.model.slot_logprobs(prompts, self.numbers.branches):
            yield self.numbers.probabilities(at, after)

    def simulate(self, tasks: Sequence[Task]) -> list[Simulation]:
        """Every window under its explanation, many in one pass; one without an explanation keeps its reason."""
        out = [Simulation.failed(len(task.strings), task.explanation.reason or "no explanation") for task in tasks]
        places = [place for place, task in enumerate(tasks) if task.explanation.is_defined]
        found = self.probabilities([self.prompt(tasks[place]) for place in places])
        for place, probability in zip(places, found, strict=True):
            values, outside = expected_value(probability)
            missing = ("no number among the likely answers",) if np.isnan(values).any() else ()
            out[place] = Simulation(values, outside, notes=missing)
        return out
