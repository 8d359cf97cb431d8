"""The one way in: model, documents and how they are read, opened in one place for every verb."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from llm_codes.corpus import Corpus, Split, load_corpus
from llm_codes.models import Model, load_model

if TYPE_CHECKING:
    from llm_codes.configs.spectra import HarvestConfig


def open_model_and_corpus(config: Any) -> tuple[Model, Corpus]:
    """The model and corpus of a command's configuration."""
    model = load_model(config.model, device=config.device, dtype=config.dtype)
    return model, open_corpus(config, model)


def open_corpus(config: Any, model: Model) -> Corpus:
    """The corpus of a command's configuration, in windows that fit the model."""
    return load_corpus(
        config.corpus,
        model.tokenizer,
        context=min(config.context, model.context),
        n_tokens=config.tokens,
        split=config.split,
        seed=config.seed,
        document_separator=config.document_separator,
        text_column=config.text_column,
    )


def open_inputs(config: HarvestConfig) -> tuple[Model, Corpus]:
    """The model and the corpus that a configuration names, in windows this model can read."""
    model = load_model(config.model, device=config.device, dtype=config.dtype)
    corpus = load_corpus(
        config.corpus,
        model.tokenizer,
        context=min(config.context, model.context),
        n_tokens=config.tokens,
        split=cast(Split, config.split),
        seed=config.seed,
        prepend_bos=model.bos_token_id is not None,
        document_separator=config.document_separator,
        text_column=config.text_column,
    )
    return model, corpus
