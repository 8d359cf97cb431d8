"""vLLM in this process (`vllm:<model>`): explainer, simulator and judge without a server; an extra, `[vllm]`.

It simulates all tokens of a window at once from the log-probabilities of the prompt, as `--mode all-at-once` does on a
server: one word stands in every slot, and what the model would have written there is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.errors import UserError
from eval.explanation.explainers import Reply
from eval.explanation.local_simulator import PLACEHOLDER
from eval.explanation.prompts import Message
from eval.explanation.servers.chat_simulators import all_at_once_prompt
from eval.explanation.servers.replies import parse_prompt_logprobs
from eval.explanation.simulators import Simulation, Task

TOP_LOGPROBS = 20
AT_ONCE = 256
"""Requests handed over together: enough for its scheduler, and what a killed run loses."""


class VLLMEngine:
    """A `Chat` and a `Simulator` in one, greedy. model: a Hub name or a folder, as vLLM takes it.

    Raises `UserError` where vLLM is not installed, or cannot load the model.
    """

    def __init__(self, model: str) -> None:
        self.name = f"vllm:{model}"
        try:
            import vllm  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise UserError(
                f"expected the package vllm for vllm:{model}; it is not installed; pip install neural-codes[vllm]"
            ) from error
        self._parameters = vllm.SamplingParams
        try:
            self._engine = vllm.LLM(model=model)
        except (OSError, ValueError, RuntimeError) as error:
            line = " ".join(str(error).split())[:200]
            raise UserError(f"vLLM cannot load {model!r}: {line}; check the name and its memory") from error

    @property
    def identity(self) -> Mapping[str, str]:
        """What decides its answers (for the journal)."""
        return {"engine": "vllm", "model": self.name}

    def ask(self, conversations: Sequence[list[Message]], *, maximum_tokens: int) -> list[Reply]:
        """A reply to every conversation, with the log-probabilities of its tokens."""
        if not conversations:
            return []
        how = self._parameters(temperature=0.0, max_tokens=maximum_tokens, logprobs=TOP_LOGPROBS)
        return [_reply(one.outputs[0]) for one in self._engine.chat(list(conversations), how, use_tqdm=False)]

    def simulate(self, tasks: Sequence[Task]) -> list[Simulation]:
        """Every window under its explanation; one without an explanation keeps its reason."""
        out = [Simulation.failed(len(task.strings), task.explanation.reason or "no explanation") for task in tasks]
        places = [place for place, task in enumerate(tasks) if task.explanation.is_defined]
        if places:
            how = self._parameters(temperature=0.0, max_tokens=1, prompt_logprobs=TOP_LOGPROBS)
            prompts = [all_at_once_prompt(tasks[place]) for place in places]
            for place, found in zip(places, self._engine.generate(prompts, how, use_tqdm=False), strict=True):
                out[place] = parse_prompt_logprobs(_echoed(found), len(tasks[place].strings), PLACEHOLDER)
        return out


def _reply(found: Any) -> Reply:
    steps = found.logprobs or []
    tokens = [
        (str(step[token].decoded_token), {str(one.decoded_token): float(one.logprob) for one in step.values()})
        for token, step in zip(found.token_ids, steps, strict=False)
    ]
    return Reply(found.text.strip(), None, tuple(tokens) or None)


def _echoed(found: Any) -> dict[str, Any]:
    """The log-probabilities of a prompt as a server with ``echo`` gives them; its first token has none."""
    steps = found.prompt_logprobs or []
    tokens = [
        str(step[token].decoded_token) if step else ""
        for token, step in zip(found.prompt_token_ids, steps, strict=False)
    ]
    tops = [{str(one.decoded_token): float(one.logprob) for one in step.values()} if step else None for step in steps]
    return {"choices": [{"logprobs": {"tokens": tokens, "top_logprobs": tops}}]}
