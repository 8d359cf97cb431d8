"""Small random models of every family: what came of the checks, and the page that `make architectures` writes.

Each is built from the configuration class of transformers under a fixed seed (2 layers, width 64), hooked, and compared
with itself as transformers runs it: logits; the sums of the residual stream; hidden units against the nonlinearity;
every site offered against what forward hooks on the plain modules see; and heads, routers and recurrent states against
what they make.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eval.errors import UserError
from llm_codes.inside.offers import KINDS, listed_kinds
from llm_codes.models import Model, load_model
from llm_codes.site_checks import relative_error
from llm_codes.sites import list_sites, site_checks
from tests.architecture_families import FAMILIES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "architectures.md"
TOKENS = torch.randint(1, 300, (2, 10), generator=torch.Generator().manual_seed(1))
HEAD = """# Architectures

Written by `make architectures` from `tests/architectures.py`; every row is a test. Each model is random, small (2
layers, width 64) and built from transformers' configuration class. Numbers are relative errors in float32, rounded up
to a power of ten; a dash says that there was nothing to compare.

- *logits*: with hooks against without
- *stream*: pre + attn_out = mid and mid + mlp_out = post, or the parallel form, beside what is added
- *hidden*: mlp_post against the nonlinearity of mlp_pre
- *plain hooks*: what a site reads against what forward hooks on transformers' own modules see
- *inside*: pattern * v = z; the pattern that another text's q and k give; the experts at a router's weights = what they
  add; the mixer run step by step on the state that is read = the mixer as it is

`load_model` checks the logits of every model that it loads, whatever it is called, and refuses one whose logits differ;
the other checks but *plain hooks* are made when a site is first asked for: one that fails is not offered, with the
reason (`sites` shows it).

"""
COLUMNS = ("family", "class", "logits", "stream", "hidden", "plain hooks", "inside", "heads, router, state")
COLUMNS += ("sites offered", "not offered, or refused")
ORDER = ("resid_pre", "attn_out", "resid_mid", "mlp_in", "mlp_pre", "mlp_linear", "mlp_post", "mlp_out", "resid_post")


@dataclass(frozen=True)
class Architecture:
    """What came of the checks of one family; `refused` where it cannot be read at all."""

    family: str
    name: str
    logits: float | None = None
    stream: float | None = None
    hidden: float | None = None
    plain: float | None = None
    inside: float | None = None
    within: str = "-"
    offered: tuple[str, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)
    refused: str = ""

    @property
    def errors(self) -> tuple[float | None, ...]:
        return self.logits, self.stream, self.hidden, self.plain, self.inside

    @property
    def outcome(self) -> tuple[str, str, str]:
        """The last three cells of the row: they are the same on every machine."""
        said = self.refused or _said(self.reasons) or "-"
        return self.within, ", ".join(self.offered) or "-", said.replace("|", "\\|")

    def row(self) -> str:
        errors = (_power(error) for error in self.errors)
        return f"| {' | '.join((self.family, self.name, *errors, *self.outcome))} |"


def _said(reasons: dict[str, str]) -> str:
    """Kinds by the reason why they are not offered."""
    grouped: dict[str, list[str]] = {}
    for kind, reason in reasons.items():
        grouped.setdefault(reason, []).append(kind)
    return "; ".join(f"{', '.join(kinds)}: {reason}" for reason, kinds in grouped.items())


def _power(error: float | None) -> str:
    if error is None:
        return "-"
    return "0" if error == 0 else f"1e{math.ceil(math.log10(error))}"


def build(family: str) -> Any:
    """A random model of a family, plain; its configuration does not name its class."""
    import transformers

    name, config, shape = FAMILIES[family]
    torch.manual_seed(0)
    plain = getattr(transformers, name)(getattr(transformers, config)(**shape)).eval()
    plain.config.architectures = None
    return plain


def measure(family: str, tokenizer: Any) -> Architecture:
    """Load a family and check it; a refusal is a row too."""
    plain = build(family)
    name = type(plain).__name__
    try:
        model = load_model(plain, tokenizer=tokenizer)
    except UserError as error:
        return Architecture(family, name, refused=str(error))
    listed, last = list_sites(model), model.n_layers - 1
    hooks = {row.name.partition("@")[0]: row.hook for row in listed if row.hook and row.name.endswith(f"@{last}")}
    read = model.activations(TOKENS, list(hooks.values()))
    seen = list(seen_by_plain_hooks(plain))
    errors = [
        _nearest(read[hook], seen) for kind, hook in hooks.items() if kind not in ("attn_out", "mlp_out", "resid_mid")
    ]
    found = site_checks(model).errors
    reasons = {
        row.name.partition("@")[0]: row.meaning.removeprefix("not offered: ")
        for row in listed
        if row.hook is None and row.name.endswith(f"@{last}")
    }
    stream, hidden = (found.get(key) for key in ("residual", "hidden"))
    offered = tuple(kind for kind in ORDER if kind in hooks)
    inside, within = _inside(model)
    measured = (model.logits_error, stream, hidden, max(errors), inside)
    return Architecture(family, name, *measured, within, offered, reasons)


def _inside(model: Model) -> tuple[float | None, str]:
    """The largest error of the checks inside the branches, and what they offer in any layer, the rest with a reason."""
    listed = listed_kinds(model)
    found = {kind: KINDS[kind].check(model) for kind in listed}
    offered = [kind for kind in listed if any(place[0] == kind for place in found[kind].shapes)]
    reasons = {kind: found[kind].reasons[kind, model.n_layers - 1] for kind in listed if kind not in offered}
    errors = [found[kind].error for kind in offered]
    cell = "; ".join(part for part in (", ".join(offered), _said(reasons)) if part)
    return max((error for error in errors if error is not None), default=None), cell


@torch.no_grad()
def seen_by_plain_hooks(plain: Any) -> Iterator[Tensor]:
    """Every tensor that a module of the plain model is given or makes, fused projections also by their halves."""
    seen: list[Tensor] = []

    def keep(_: Any, given: Any, made: Any) -> None:
        for value in (*given, *(made if isinstance(made, tuple) else (made,))):
            if isinstance(value, Tensor) and value.is_floating_point():
                seen.append(value.detach().clone())

    handles = [module.register_forward_hook(keep) for module in plain.modules()]
    states = plain(TOKENS, use_cache=False, output_hidden_states=True)
    for handle in handles:
        handle.remove()
    for value in (*seen, *(getattr(states, "hidden_states", None) or ())):
        yield value
        if value.ndim == 3 and value.shape[-1] % 2 == 0:
            yield from value.chunk(2, -1)


def _nearest(read: Tensor, seen: list[Tensor]) -> float:
    """The smallest relative error of a site beside anything that the plain model computes."""
    sizes = (value for value in seen if value.numel() == read.numel() and value.shape[-1] == read.shape[-1])
    return min((relative_error(read, value.reshape(read.shape)) for value in sizes), default=1.0)


def small_tokenizer() -> Any:
    """A tokenizer of at most 320 tokens, made in memory."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    end = "<|endoftext|>"
    pairs = ByteLevelBPETokenizer()
    pairs.train_from_iterator(["the cat sat on the mat"], vocab_size=320, special_tokens=[end], show_progress=False)
    return PreTrainedTokenizerFast(tokenizer_object=pairs._tokenizer, bos_token=end, eos_token=end)


def page() -> str:
    """The whole page as Markdown."""
    tokenizer = small_tokenizer()
    header = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"
    return HEAD + header + "".join(f"{measure(family, tokenizer).row()}\n" for family in FAMILIES)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
