"""Who explains and who simulates: printed rules, a local language model, or an OpenAI-compatible server.

`open_parts` reads `--explainer` and `--simulator`; everything that costs time or money goes through one journal, so a
killed run continues where it stopped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eval.errors import UserError, nearest
from eval.explanation.engines.vllm_engine import AT_ONCE, VLLMEngine
from eval.explanation.explainers import Chat, Explainer
from eval.explanation.explaining.best_of import BestOf
from eval.explanation.explaining.styles import INPUT_STYLES, StyledExplainer
from eval.explanation.local_simulator import LocalSimulator
from eval.explanation.outputs.explainers import logit_effect, steering_effect  # noqa: F401 (registers them)
from eval.explanation.registry import EXPLAINERS, SIMULATORS, FunctionExplainer, FunctionSimulator, registered
from eval.explanation.rules.explainers import RuleExplainer
from eval.explanation.scoring.classification import ChatJudge, Judge, RuleJudge
from eval.explanation.servers.batch_client import BatchClient
from eval.explanation.servers.chat_simulators import ServerChat, ServerSimulator
from eval.explanation.servers.client import Client, ClientSettings
from eval.explanation.servers.journal import Journal
from eval.explanation.servers.journaled import JournaledChat, JournaledSimulator
from eval.explanation.servers.purse import Purse
from eval.explanation.simulators import RuleSimulator, Simulator
from llm_codes.configs.explain import LANGUAGE_MODELS, READS_RULES, RULES
from llm_codes.lenses.explain.local_language_model import LocalLanguageModel
from llm_codes.models import load_model

if TYPE_CHECKING:
    from eval.explanation.servers.client import Client
    from eval.explanation.servers.journal import Journal
    from eval.runs import Run
    from llm_codes.configs.explain import ExplainOptions
    from llm_codes.lenses.explain.local_language_model import LocalLanguageModel
    from llm_codes.models import Model


REGISTERED = "registered"
"""Backend of what a script or a file registered, and of the output side's explainers."""


@dataclass(eq=False)
class Parts:
    """The explainer, the simulator and the judge of a run, and what they cost."""

    explainer: Explainer
    simulator: Simulator
    judge: Judge | None
    clients: Sequence[Client] = ()
    local: dict[str, LocalLanguageModel] = field(default_factory=dict)
    started: float = field(default_factory=time.time)

    def cost(self) -> dict[str, float]:
        """Requests, tokens, dollars, forward passes and seconds of this invocation; a continued run pays the rest."""
        out: dict[str, float] = {
            "requests": 0,
            "from_journal": 0,
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "usd": 0.0,
        }
        for client in self.clients:
            for name, value in client.cost().items():
                out[name] = value if name == "usd_of_whole_journal" else out.get(name, 0) + value
        out["local_forward_passes"] = sum(model.passes for model in self.local.values())
        out["seconds"] = round(time.time() - self.started, 1)
        return out


def parse_backend(text: str, flag: str) -> tuple[str, str]:
    """A printed rule (``rules`` for the simulator), or ``local:``, ``openai:``, ``vllm:<model>``, as (backend, model).

    Raises `UserError` for anything else, with the nearest name.
    """
    table = {"--explainer": EXPLAINERS, "--simulator": SIMULATORS}.get(flag, {})
    own = registered(text, table, flag)
    if own is not None:
        return REGISTERED, own
    plain = (*(RULES if flag == "--explainer" else (READS_RULES,)), *table) if flag != "--judge" else ()
    backend, _, model = text.partition(":")
    if backend not in (*plain, *LANGUAGE_MODELS):
        raise UserError(
            f"unknown {flag} {text!r}: {nearest(backend, (*plain, *LANGUAGE_MODELS))}; "
            f"expected {', '.join((*plain, 'local:<model>', 'openai:<model>'))} or vllm:<model>"
        )
    if backend in LANGUAGE_MODELS and not model:
        raise UserError(f"expected a model after {backend}:, got {text!r}; write {flag} {backend}:<model>")
    return backend, model


@contextmanager
def open_parts(
    options: ExplainOptions, subject: Model, run: Run | None = None, *, dry_run: bool = False
) -> Iterator[Parts]:
    """Build what the options name; closes the journal at the end. Without a run folder the journal is in memory.

    Raises `UserError` for an unknown backend, token lookup reading an LLM's words, a missing key.
    """
    explains = parse_backend(options.explainer, "--explainer")
    simulates = parse_backend(options.simulator, "--simulator")
    judges = parse_backend(options.judge, "--judge") if options.judge else None
    if simulates[0] == READS_RULES and explains[0] in LANGUAGE_MODELS:
        raise UserError(
            f"the simulator {READS_RULES} cannot read the words of {options.explainer}; "
            "use --simulator local:<model>, openai:<model> or vllm:<model>, or --explainer decision-list"
        )
    with ExitStack() as stack:
        builder = _Builder(options, run, subject, stack, dry_run=dry_run)
        simulator = builder.simulator(*simulates)
        judge = builder.judge(*(judges or simulates)) if options.scorers else None
        yield Parts(builder.explainer(*explains, simulator), simulator, judge, builder.clients, builder.models)


class _Builder:
    """Opens the journal, the client and local models once, however many parts use them."""

    def __init__(
        self, options: ExplainOptions, run: Run | None, subject: Model, stack: ExitStack, *, dry_run: bool
    ) -> None:
        self.server, self.bits, self.shown = options.server, options.bits, options.shown
        self.at_once = options.local_batch
        self.run, self.subject, self.stack, self.dry_run = run, subject, stack, dry_run
        self.clients: list[Client] = []
        self._purse: Purse | None = None
        self.models: dict[str, LocalLanguageModel] = {}
        self._engines: dict[str, VLLMEngine] = {}
        self._journal: Journal | None = None

    def explainer(self, backend: str, model: str, simulator: Simulator) -> Explainer:
        """simulator: by which the best of several explanations is chosen."""
        if backend == REGISTERED:
            return FunctionExplainer(model)
        if backend in RULES:
            return RuleExplainer(backend, self.bits)
        chat = self._chat(backend, model)
        if self.shown == "best":
            return BestOf([StyledExplainer(chat, style) for style in INPUT_STYLES], simulator)
        return StyledExplainer(chat, self.shown)

    def _chat(self, backend: str, model: str) -> Chat:
        if backend == "openai":
            return ServerChat(self.open_client("explainer"), model)
        if backend == "vllm":
            return self._engine_chat(model)
        return self._local_chat(model)

    def simulator(self, backend: str, model: str) -> Simulator:
        if backend == REGISTERED:
            return FunctionSimulator(model)
        if backend == READS_RULES:
            return RuleSimulator()
        if backend == "openai":
            return ServerSimulator(self.open_client("simulator"), model, self.server.mode)
        if backend == "vllm":
            engine = self.engine(model)
            return JournaledSimulator(engine, self.open_journal(), engine.identity, at_once=AT_ONCE)
        local = self.local(model)
        return JournaledSimulator(LocalSimulator(local), self.open_journal(), local.identity, at_once=self.at_once)

    def judge(self, backend: str, model: str) -> Judge | None:
        if backend == REGISTERED:
            return None
        if backend == READS_RULES:
            return RuleJudge()
        if backend == "openai":
            return ChatJudge(ServerChat(self.open_client("judge"), model, logprobs=True))
        if backend == "vllm":
            return ChatJudge(self._engine_chat(model))
        return ChatJudge(self._local_chat(model), reader=self.local(model))

    def engine(self, name: str) -> VLLMEngine:
        """vLLM's engine of a model; loaded once."""
        if name not in self._engines:
            self._engines[name] = VLLMEngine(name)
        return self._engines[name]

    def _engine_chat(self, name: str) -> Chat:
        engine = self.engine(name)
        return JournaledChat(engine, self.open_journal(), engine.identity, at_once=AT_ONCE)

    def _local_chat(self, name: str) -> Chat:
        local = self.local(name)
        return JournaledChat(local, self.open_journal(), local.identity, at_once=self.at_once)

    def local(self, name: str) -> LocalLanguageModel:
        if name not in self.models:
            subject = self.subject
            same = name == subject.name and str(subject.dtype) == "torch.float32" and not subject.untrained
            model = subject if same else load_model(name, device=str(subject.device))
            self.models[name] = LocalLanguageModel(model, self.at_once)
        return self.models[name]

    def open_journal(self) -> Journal:
        if self._journal is None:
            path = self.server.journal or (":memory:" if self.run is None else self.run.path("journal.sqlite"))
            self._journal = self.stack.enter_context(Journal(path))
        return self._journal

    def open_client(self, role: str) -> Client:
        """The client of a role; two roles with one server, key and price share one. All pay from one purse."""
        settings = self._settings(role)
        for client in self.clients:
            if client.settings == settings:
                return client
        journal, server = self.open_journal(), self.server
        if self._purse is None:
            prices = {"price_input": server.price_input, "price_output": server.price_output}
            self._purse = Purse(server.budget_usd or None, journal, **prices)
        key = os.environ.get(settings.key_variable)
        opened = BatchClient if server.batch else Client
        self.clients.append(opened(settings, journal, key=key, purse=self._purse))
        return self.clients[-1]

    def _settings(self, role: str) -> ClientSettings:
        server, own = self.server, self.server.roles[role]
        return ClientSettings(
            base_url=own.base_url or server.base_url,
            concurrency=server.concurrency,
            timeout=server.timeout,
            retries=server.retries,
            replay=server.replay,
            dry_run=self.dry_run,
            budget_usd=server.budget_usd or None,
            price_input=server.price_input if own.price_input < 0 else own.price_input,
            price_output=server.price_output if own.price_output < 0 else own.price_output,
            max_failures=server.max_failures,
            key_variable=own.key_variable or server.key_variable,
            probe=server.probe,
        )
