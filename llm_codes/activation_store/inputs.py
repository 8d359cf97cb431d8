"""What a verb with `--activations DIR` works on: stored activations, their own text, the model where one is named.

The store is the authority on the text: flags that choose another one are refused. The model that `--model` names is
opened and must be the one that the activations are of, by the hash of its weights; `--model none` opens none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from eval.errors import UserError
from eval.progress import say
from eval.runs import Run
from llm_codes.activation_source import ActivationSource
from llm_codes.activation_store.store import ActivationStore
from llm_codes.configs.inputs import InputsOptions, WindowsOptions
from llm_codes.inputs import Inputs, open_inputs, open_model
from llm_codes.models import Model, untrained_like
from llm_codes.windows import Corpus, first_windows

NO_MODEL = "none"
OF_THE_TEXT = ("corpus", "document_separator", "text_column", "encoding", "chat_template", "roles")


@dataclass(frozen=True, eq=False)
class StoredInputs(Inputs):
    """Inputs whose activations are read from a store. model: as named, `None` for `--model none`."""

    activations: ActivationStore = cast(ActivationStore, None)

    @property
    def source(self) -> ActivationSource:
        return self.activations

    @property
    def prepends_bos(self) -> bool:
        return self.activations.corpus.prepend_bos

    def windows(self, length: int | None = None, *, n_tokens: int | None = None) -> Corpus:
        """The windows of the store, all or the fewest first ones that hold `n_tokens` tokens.

        Raises `UserError` for windows of another length than those stored.
        """
        corpus = self.activations.corpus
        if length not in (None, corpus.context, WindowsOptions.context):
            raise UserError(
                f"expected windows as stored in {self.activations.folder}, {corpus.context} tokens; got {length}; "
                "leave --context out"
            )
        return first_windows(corpus, n_tokens)

    def view(self, windows: WindowsOptions) -> Corpus:
        found = self.windows(windows.context, n_tokens=windows.tokens)
        if found.context != windows.context:
            say(f"windows of {found.context:,} tokens, as stored")
        if found.n_tokens < windows.tokens:
            say(f"{found.n_tokens:,} tokens are stored; {windows.tokens:,} were asked for")
        return found

    def of_split(self, split: str) -> Inputs:
        raise UserError(
            f"expected a text to read for split {split}; got --activations {self.activations.folder}, which holds its "
            "own only; measure on held-out text by a verb that reads the model"
        )

    def describe(self) -> str:
        store, stated = self.activations, self.activations.manifest.model
        hashes = {name.removesuffix("_sha256"): str(stated[name])[:12] for name in HASHES if stated.get(name)}
        said = "".join(f", {name} {value}" for name, value in hashes.items())
        corpus = store.corpus
        return (
            f"Activations of {store.name}{said}, stored as {store.manifest.dtype} (content {store.sha256[:12]}) at "
            f"{len(store.sites)} sites; computed before, read here. Text: {corpus.n_documents} documents of "
            f"{corpus.provenance.get('source', 'a text')} (split: {corpus.provenance.get('split', 'not stated')}), "
            f"windows of {corpus.context}. {self.positions()}"
        )

    def hashes(self) -> dict[str, str]:
        model = self.activations.manifest.model
        return {"activations": self.activations.sha256, "model": str(model.get("weights_sha256") or "")}

    def provenance(self) -> dict[str, Any]:
        return {
            "model": self.activations.provenance(),
            "corpus": self.activations.corpus.describe(),
            "exclude_positions": self.options.exclude_positions,
            "seed": self.seed,
        }


HASHES = ("weights_sha256", "tokenizer_sha256")


def open_inputs_or_store(
    options: InputsOptions, activations: str, *, seed: int, device: str, run: Run, needs_model: str = ""
) -> Inputs:
    """Inputs of a verb that takes `--activations`: of the store where one is named, else `open_inputs`.

    needs_model: what of the command as it was given a model must compute, in words, with its flag; empty: nothing.

    Raises:
        UserError: a store that is damaged, of other weights or tokenizer than `--model`, of another split; flags of a
            text beside it; `--model none` where a model is needed.
    """
    if not activations:
        return open_inputs(options, seed=seed, device=device, run=run)
    _refuse_text_flags(options)
    store = ActivationStore.open(activations, device=device)
    split = str(store.corpus.provenance.get("split", "not stated"))
    if options.split not in ("all", split) and split != "not stated":
        raise UserError(
            f"expected activations of split {options.split}; those in {activations} are of split {split}; harvest "
            f"with --split {options.split}, or pass --split all for all that is stored"
        )
    model = None
    if options.model != NO_MODEL:
        model = _checked(options, store, seed, device)
    elif needs_model and not store.untrained:
        raise UserError(f"expected a model for {needs_model}; got --model none; name the model, or leave that out")
    inputs = StoredInputs(options, cast(Model, model), cast(Any, store.corpus), seed, store)
    run.inputs(**inputs.hashes())
    return inputs


def _refuse_text_flags(options: InputsOptions) -> None:
    for name in OF_THE_TEXT:
        if getattr(options, name) != getattr(InputsOptions(), name):
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"expected no {flag} beside --activations: a store holds its own text; leave it out")


def _checked(options: InputsOptions, store: ActivationStore, seed: int, device: str) -> Model:
    """The model that is named, if the activations are its own.

    Raises:
        UserError: the store does not say whose they are, or they are of other weights or of another tokenizer.
    """
    stated = store.manifest.model
    if not stated.get("weights_sha256"):
        raise UserError(
            f"expected activations of --model {options.model}; those in {store.folder} ({store.name}) do not say of "
            "which weights they are; pass --model none, and leave out what needs a model"
        )
    model = open_model(options, device)
    own = untrained_like(model, int(stated.get("init_seed") or 0)) if store.untrained else model
    for name, mine in (("weights_sha256", own.weights_sha256), ("tokenizer_sha256", own.tokenizer_sha256)):
        theirs = stated.get(name)
        if theirs and theirs != mine:
            what = name.removesuffix("_sha256")
            raise UserError(
                f"expected activations of --model {options.model} ({what} {str(mine)[:12]}); those in {store.folder} "
                f"are of {store.name} ({what} {str(theirs)[:12]}); name that model, or pass --model none"
            )
    return model
