"""Eigenspectra by depth: how redundant is the code, layer by layer?

One pass over the corpus keeps, per site, the exact covariance and the document statistics
(`eval.measures.spectra.moments`); the exponent, its correction and its interval follow
[MK section 2, Methods; corrections in `eval.measures`].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from eval.measures.spectra.alpha_interval import corrected_exponent
from eval.measures.spectra.document_moments import half_of
from eval.measures.spectra.moments import Moments
from eval.measures.spectra.spectrum import Spectrum
from eval.progress import progress
from eval.report.tables import csv_text, text_table
from eval.runs import Run
from llm_codes.corpus import Batch, Corpus
from llm_codes.harvest import Checkpoint, harvest, open_inputs
from llm_codes.models import Model, load_model
from llm_codes.sites import Site, resolve_sites

if TYPE_CHECKING:
    from llm_codes.configs.spectra import SpectraConfig

COLUMNS = ["site", "n_tokens", "n_documents", "alpha", "alpha_corrected", "alpha_ci", "r2", "participation_ratio"]
COLUMNS += ["top_direction_share"]
FIRST = (10, 50)


class SiteMomentsConsumer:
    """A `harvest` consumer: `Moments` at every site, and separately for the positions that are left out."""

    per_site = True

    def __init__(self, sites: Sequence[Site], *, left_out: bool = False) -> None:
        self.sites = list(sites)
        self.moments = {site.hook: Moments(site.width, site.hook) for site in self.sites}
        self.left_out = {site.hook: Moments(site.width, site.hook) for site in self.sites} if left_out else {}
        self._updates = 0

    def memory_bytes(self) -> int:
        per_site = [Moments.memory_bytes(site.width) for site in self.sites]
        working = max(Moments.working_bytes(site.width, 2048) for site in self.sites)
        return sum(per_site) * (2 if self.left_out else 1) + working

    def update(
        self,
        activations: Mapping[str, Float[Tensor, "batch position width"]],
        batch: Batch,
        keep: Bool[Tensor, "batch position"],
    ) -> None:
        documents = batch.document[:, None].expand(keep.shape).flatten()
        keep = keep.cpu()
        kept, rest = (_by_half(mask.flatten(), documents) for mask in (keep, batch.mask & ~keep))
        number = self._updates // len(self.moments)
        for hook, activation in activations.items():
            values = activation.cpu().flatten(0, 1)
            self.moments[hook].update(values[kept], documents[kept], batch=number)
            if self.left_out:
                self.left_out[hook].update(values[rest], documents[rest], batch=number)
        self._updates += len(activations)

    def reduce(self) -> None:
        """Merge over processes: every process ends with the whole."""
        import torch.distributed as distributed

        for table in (self.moments, self.left_out):
            for hook, moments in table.items():
                states: list[Any] = [None] * distributed.get_world_size()
                distributed.all_gather_object(states, moments.state())
                whole = Moments(moments.width, hook)
                for state in states:
                    part = Moments(moments.width, hook)
                    part.load(state)
                    whole.merge(part)
                table[hook] = whole

    def state(self) -> dict[str, np.ndarray]:
        out = {"updates": np.array(self._updates)}
        for name, table in (("kept", self.moments), ("left_out", self.left_out)):
            for hook, moments in table.items():
                out |= {f"{name}|{hook}|{key}": value for key, value in moments.state().items()}
        return out

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        self._updates = int(state["updates"])
        for name, table in (("kept", self.moments), ("left_out", self.left_out)):
            for hook, moments in table.items():
                prefix = f"{name}|{hook}|"
                mine = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
                moments.load(mine)


def _by_half(mask: Bool[Tensor, " token"], documents: Int[Tensor, " token"]) -> Int[Tensor, " kept"]:
    """Indices of the masked tokens, those of one half of the documents first: the moments need no second gather."""
    chosen = mask.nonzero()[:, 0]
    return chosen[torch.from_numpy(np.argsort(half_of(documents[chosen].numpy()), kind="stable"))]


@dataclass(frozen=True)
class Spectra:
    """Rows of `results.json` (one per site), and the eigenvalues by site name (split-half beside them)."""

    rows: list[dict[str, Any]]
    eigenvalues: dict[str, np.ndarray] = field(default_factory=dict)
    split_half: dict[str, np.ndarray] = field(default_factory=dict)


def spectra(
    model: Any,
    corpus: Corpus,
    sites: Sequence[str] = ("resid_post", "mlp_post"),
    *,
    layers: str | Sequence[int] | None = None,
    index_range: tuple[int, int] = FIRST,
    with_position_0: bool = False,
    seed: int = 0,
    **harvest_options: Any,
) -> Spectra:
    """Eigenspectra of the activation covariance at every site, from one pass over the corpus.

    Args:
        model: a `Model`, a name, or an existing bridge or HookedTransformer.
        sites, layers: which; see `resolve_sites`.
        index_range: eigenvalue indices of the power-law fit, 1-based, inclusive.
        with_position_0: also report every number with the left-out positions put back.
        harvest_options: `batch_size`, `exclude_positions`, `max_memory_gb`, `checkpoint`.

    Returns:
        `Spectra`: rows hold `alpha` (as measured), `alpha_corrected` with `alpha_ci` (95%, over documents), or null
        and the reason.
    """
    model = load_model(model)
    places = resolve_sites(model, sites, layers)
    consumer = SiteMomentsConsumer(places, left_out=with_position_0)
    harvest(model, corpus, [consumer], label="spectra", **harvest_options)
    return describe(places, consumer, index_range, seed)


def describe(places: Sequence[Site], consumer: SiteMomentsConsumer, index_range: tuple[int, int], seed: int) -> Spectra:
    """Rows and eigenvalues from finished moments."""
    found = Spectra([])
    for place in progress(places, label="fits", unit="site"):
        moments = consumer.moments[place.hook]
        spectrum = Spectrum.of(moments)
        row = describe_site(place, moments, spectrum, index_range, seed)
        if consumer.left_out:
            whole = moments.copy().merge(consumer.left_out[place.hook])
            row["with_position_0"] = _short(Spectrum.of(whole, split_half=False), index_range)
        found.rows.append(row)
        found.eigenvalues[place.name] = spectrum.eigenvalues
        if spectrum.split_half is not None:
            found.split_half[place.name] = spectrum.split_half
    return found


def describe_site(
    place: Site, moments: Moments, spectrum: Spectrum, index_range: tuple[int, int], seed: int
) -> dict[str, Any]:
    """One row: where, how much data, alpha as measured and corrected, and everything beside it."""
    row: dict[str, Any] = {"site": place.name, "hook": place.hook, "kind": place.kind, "layer": place.layer}
    row |= spectrum.report(index_range) | {"n_documents": moments.n_documents}
    if row.get("alpha") is None:
        reason = row.get("alpha_reason", "the exponent is undefined")
        return row | {"alpha_corrected": None, "alpha_ci": None, "alpha_corrected_reason": reason}
    corrected = corrected_exponent(moments, index_range, seed=seed)
    fields = corrected.score.fields("alpha_corrected")
    row |= {"alpha_corrected": corrected.score.value, "alpha_ci": corrected.score.interval}
    if "alpha_corrected_reason" in fields:
        row["alpha_corrected_reason"] = fields["alpha_corrected_reason"]
    return row | {"correction": finite_only(corrected.diagnostics)}


def finite_only(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with non-finite numbers as null."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in fields.items()
    }


def _short(spectrum: Spectrum, index_range: tuple[int, int]) -> dict[str, Any]:
    report = spectrum.report(index_range)
    return {key: report[key] for key in ("n_tokens", "alpha", "r2", "participation_ratio", "top_direction_share")}


def untrained_like(model: Model, seed: int) -> Model:
    """The same architecture, freshly initialised: the control. The tokenizer and so the corpus stay the same."""
    if model.untrained:
        return model
    from transformers import AutoModelForCausalLM

    config = model.bridge.original_model.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = AutoModelForCausalLM.from_config(config)
    named = load_model(hf_model=fresh, tokenizer=model.tokenizer, device=model.device, dtype=model.dtype)
    named.name, named.source, named.untrained, named.seed = f"{model.name} untrained", model.source, True, seed
    return named


def measure(config: SpectraConfig, run: Run, model: Model, corpus: Corpus, *, name: str) -> Spectra:
    """Spectra of one model, kept in the run folder: a rerun reads them back."""
    stored = run.read_arrays(f"eigenvalues-{name}")
    path = run.path(f"items/spectra-{name}.json")
    if stored is not None and path.exists():
        rows = run.item(f"spectra-{name}", lambda: [])
        halves = run.read_arrays(f"split-half-{name}") or {}
        return Spectra(rows, stored, halves)
    found = spectra(
        model,
        corpus,
        config.sites,
        layers=config.layers,
        index_range=(config.fit_first, config.fit_last),
        with_position_0=config.with_position_0,
        seed=config.seed,
        batch_size=config.batch_size,
        exclude_positions=config.exclude_positions,
        max_memory_gb=config.max_memory_gb,
        checkpoint=Checkpoint(run.path(f"arrays/spectra-pass-{name}")),
    )
    run.write_arrays(f"eigenvalues-{name}", **found.eigenvalues)
    run.write_arrays(f"split-half-{name}", **found.split_half)
    run.item(f"spectra-{name}", lambda: found.rows)
    return found


def chapter(config: SpectraConfig, run: Run, model: Model, corpus: Corpus) -> tuple[Spectra, Spectra | None]:
    """The trained model's spectra, and the untrained control's; shared by the command and by `report`."""
    trained = measure(config, run, model, corpus, name="model")
    control = None
    if config.control and not model.untrained and hasattr(model.bridge, "original_model"):
        control = measure(config, run, untrained_like(model, config.seed), corpus, name="untrained")
    rows = [{"model": "trained", **row} for row in trained.rows]
    rows += [{"model": "untrained", **row} for row in (control.rows if control else [])]
    run.write_text("tables/spectra.csv", csv_text(rows))
    return trained, control


def results_of(trained: Spectra, control: Spectra | None) -> dict[str, Any]:
    """The documented keys of `results.json`."""
    return {"sites": trained.rows, "control_sites": control.rows if control else None}


def command(config: SpectraConfig, run: Run) -> str:
    """`python -m llm_codes spectra`."""
    from eval.report.page import Page
    from llm_codes.lenses.spectra.chapter import add_chapter, claims, draw

    model, corpus = open_inputs(config)
    trained, control = chapter(config, run, model, corpus)
    if run.writes:
        page = Page(f"Eigenspectra of {model.name}", f"{corpus.n_tokens:,} tokens of {config.corpus}")
        add_chapter(page, trained, control, draw(run, trained, control, (config.fit_first, config.fit_last)))
        page.write(run)
    results = results_of(trained, control) | {"claims": [claim.as_json() for claim in claims(trained)]}
    run.finish(results, model=model.provenance(), corpus=corpus.describe())
    return text_table(trained.rows, COLUMNS)
