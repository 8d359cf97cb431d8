"""What is compared: finished runs and results that hold spectra, and whether they can be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.errors import UserError
from llm_codes.lenses.spectra.rows import SiteSpectrum, Spectra

SAME_TEXT = ("split", "sha256")
"""What a text is: its documents and which part of them. Where it lay, and what it was called, is not compared."""
SAME_MEASUREMENT = {
    "fit range": ("fit_first", "fit_last"),
    "window length": ("context",),
    "excluded positions": ("exclude_positions",),
    "number of tokens": ("tokens",),
}
ALIKE = 1.25
"""Results say how many tokens they read, not how many were asked for: they may differ by this factor."""


@dataclass(frozen=True)
class SpectraRun:
    """A finished run that holds spectra, and where its numbers come from."""

    sites: tuple[SiteSpectrum, ...]
    provenance: Mapping[str, Any]

    @property
    def n_layers(self) -> int:
        return int(self.provenance["model"]["n_layers"])

    @property
    def label(self) -> str:
        model = self.provenance["model"]
        return f"{model['name']}{' (untrained)' if model['untrained'] and 'untrained' not in model['name'] else ''}"

    def of(self, part: str) -> Mapping[str, Any]:
        """A part of the provenance: `model`, `corpus`, `config`."""
        return self.provenance.get(part) or {}


def read_run(folder: str | Path) -> SpectraRun:
    """The results of a run that holds spectra. Raises `UserError` for a folder without them."""
    path = Path(folder) / "results.json"
    if not path.is_file():
        raise UserError(f"expected a finished run with results.json in {folder}, found none; run `spectra` there first")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        if any("alpha" not in row for row in results.get("sites") or ()):
            raise UserError(f"{folder} is not a spectra run: its sites have no alpha; expected `spectra` or `report`")
        rows = tuple(map(SiteSpectrum.from_json, results.get("sites") or ()))
    except (ValueError, KeyError) as error:
        raise UserError(f"{path} is not valid ({error}); run `spectra` there again with --overwrite") from error
    if not rows:
        raise UserError(f"{path} holds no spectra (no key `sites`); expected a run of `spectra` or `report`")
    return SpectraRun(rows, results["provenance"])


def as_run(found: Any) -> SpectraRun:
    """A run folder, an open run or a result of `spectra`, as a run.

    Raises:
        UserError: anything else; a result that does not say what it was measured on (saved by an older version).
    """
    if isinstance(found, SpectraRun):
        return found
    if isinstance(found, (str, Path)):
        return read_run(found)
    if not isinstance(found, Spectra):
        raise UserError(
            f"expected a run folder or a result of spectra(); got {type(found).__name__}; pass one, e.g. runs/spectra"
        )
    if not found.provenance:
        raise UserError(
            "expected a result of spectra() with its provenance; got one without: what it was measured on is not "
            "known; measure it again"
        )
    return SpectraRun(found.sites, found.provenance)


def check_comparable(a: SpectraRun, b: SpectraRun) -> None:
    """Refuse, by name, to compare numbers measured on different texts or in different ways."""
    texts = [run.of("corpus") for run in (a, b)]
    changed = [
        f"{k} {texts[0].get(k)!r} and {texts[1].get(k)!r}" for k in SAME_TEXT if texts[0].get(k) != texts[1].get(k)
    ]
    if changed:
        sources = " and ".join(str(text.get("source")) for text in texts)
        raise UserError(
            f"expected two runs on one corpus, got {'; '.join(changed)} ({sources}); run `spectra` on the same text"
        )
    for name, keys in SAME_MEASUREMENT.items():
        values = [tuple(run.of("config").get(key) for key in keys) for run in (a, b)]
        unsaid = name == "number of tokens" and (None,) in values
        if values[0] != values[1] and not unsaid:
            _refuse(name, *("-".join(map(str, value)) for value in values))
    read = [text.get("n_tokens") for text in texts]
    if read[0] and read[1] and not 1 / ALIKE <= read[0] / read[1] <= ALIKE:
        _refuse("number of tokens", *map(str, read))
    roles = [text.get("roles") for text in texts]  # each model writes chats with its own template
    if roles[0] != roles[1]:
        _refuse("choice of roles", *map(str, roles))


def _refuse(name: str, first: str, second: str) -> None:
    raise UserError(f"expected two runs of one {name}, got {first} and {second}; run `spectra` alike")


def same_documents(a: SpectraRun, b: SpectraRun) -> bool:
    """Whether halves of the documents are the same ones on both sides: the same tokens, drawn under the same seed."""
    tokens = [run.of("corpus").get("sha256_of_tokens") for run in (a, b)]
    seeds = [run.of("config").get("seed") for run in (a, b)]
    return tokens[0] is not None and tokens[0] == tokens[1] and seeds[0] == seeds[1]
