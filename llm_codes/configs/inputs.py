"""What every verb that reads a text through a model is told: the inputs, and its own view of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeVar

from eval.errors import UserError, nearest
from eval.options import Options, chosen, option
from llm_codes.documents import known_encoding
from llm_codes.weight_processing import processing_steps

MODEL_HELP = "embedded, smollm2, a Hub name, a local folder or a .gguf file"
CORPUS_HELP = "sotu (embedded), wikitext-2, a text file or folder, JSONL, Parquet, or a Hub data set name"
SITES_HELP = "short names, or hook names; see the verb `sites`"
ACTIVATIONS_HELP = "folder of a store (`harvest`) to read activations from; its text, and --model or none"
LAYERS_HELP = "layers, e.g. 4:6, 0,3,5 or : for all"
SPLITS = ("train", "held-out", "all")
DTYPE_NAMES = ("float32", "float64", "bfloat16", "float16")
Lens = TypeVar("Lens", bound=Options)


@dataclass(frozen=True, kw_only=True)
class HarvestOptions(Options):
    """How a lens walks windows of text through a model."""

    exclude_positions: int = option(
        1, "leading positions of each window to leave out of statistics (0: keep all)", at_least=0
    )
    batch_size: int = option(8, "windows per forward pass", at_least=1, identity=False)
    max_memory_gb: float | None = option(
        8.0,
        "most memory beyond the model: more is refused, or (spectra) read in several passes (none: no limit)",
        above=0,
        identity=False,
    )


@dataclass(frozen=True, kw_only=True)
class InputsOptions(HarvestOptions):
    """Model and documents, and how they are read: the same for every lens of a run."""

    model: str = option("embedded", MODEL_HELP)
    dtype: str = option("float32", "dtype of the weights", choices=DTYPE_NAMES)
    tokenizer: str | None = option(None, "folder or Hub name of the tokenizer, where the model brings none")
    processing: str = option(
        "raw", "weights as published (raw), as published SAEs want them (sae), or steps: fold_ln,..."
    )
    revision: str | None = option(None, "revision of a model on the Hub")
    trust_remote_code: bool = option(False, "run Python that a model's repository holds")
    corpus: str = option("sotu", CORPUS_HELP)
    split: str = option("all", "documents to read; held-out is every tenth, train the others", choices=SPLITS)
    document_separator: str | None = option(None, "regular expression that separates the documents of a single file")
    text_column: str = option("text", "column of the text, token ids or messages in rows; a.b for a nested one")
    encoding: str = option("utf-8", "encoding of text files, e.g. latin-1, utf-16")

    chat_template: bool = option(False, "documents are chats, written with the tokenizer's own template")
    roles: tuple[str, ...] = option((), "of chats: roles whose messages count in statistics (default: all positions)")

    def validate(self) -> None:
        processing_steps(self.processing)
        known_encoding(self.encoding)
        if self.roles and not self.chat_template:
            raise UserError(f"expected --chat-template beside --roles {','.join(self.roles)}; got none; pass both")


@dataclass(frozen=True, kw_only=True)
class WindowsOptions(Options):
    """A lens's view of the documents: how long its windows are, and how many tokens it reads."""

    tokens: int = option(100_000, "tokens to read, spread over the documents", at_least=1)
    context: int = option(256, "tokens per window, BOS included (at most the model's context)", at_least=2)


def lens_options(
    kind: type[Lens], options: Lens | None, harvest_options: HarvestOptions | None, changes: dict[str, Any]
) -> tuple[Lens, HarvestOptions]:
    """The options of `lens(model, corpus, options=None, harvest_options=None, **changes)`: every flag by its name.

    A change is one of the lens's own options (`fit_first=5`) or says how the text is walked (`batch_size=4`).

    Raises:
        UserError: a name that is neither, with the nearest ones; a value out of its range.
    """
    own = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    walk = {field.name for field in dataclasses.fields(HarvestOptions)}
    for name in changes:
        if name not in own | walk:
            raise UserError(f"unknown option {name!r} of {kind.__name__}: {nearest(name, own | walk)}")
    mine = {name: value for name, value in changes.items() if name in own}
    rest = {name: value for name, value in changes.items() if name not in own}
    return chosen(kind, options, mine), chosen(HarvestOptions, harvest_options, rest)
