"""`python -m eval claims DIR`: every claim of every run below a folder, in one table over all wings and sources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.claims import Claim, claims_rows, tally
from eval.errors import UserError
from eval.files import atomic_path
from eval.options import Options, option
from eval.report.tables import csv_text, text_table
from eval.run_commands import run_folders

SHOWN = ("run", "verdict", "before correction", "claim", "source", "measured", "controls")


@dataclass(frozen=True, kw_only=True)
class ClaimsTableConfig(Options):
    """One table of the claims of all runs below a folder."""

    folder: str = option(".", "where to look (with everything below)", positional=True)
    csv: str = option("", "also write the whole table, with notes, to this CSV file")


def claims_in(results: Any) -> Iterator[Claim]:
    """Every claim in the results of a run, at any depth: a report holds the claims of its chapters."""
    if isinstance(results, dict):
        for key, value in results.items():
            if key == "claims" and isinstance(value, list):
                yield from (Claim.from_json(one) for one in value if isinstance(one, dict) and "verdict" in one)
            else:
                yield from claims_in(value)
    elif isinstance(results, list):
        for value in results:
            yield from claims_in(value)


def claims_of_runs(folder: str) -> list[tuple[str, Claim]]:
    """Run and claim, for every run below `folder` that has results.

    Raises:
        UserError: no such folder, no claim in it, or results that cannot be read.
    """
    found = []
    for run in run_folders(folder):
        path = run / "results.json"
        if not path.exists():
            continue
        try:
            claims = list(claims_in(json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError) as error:
            words = f"expected results with claims in {path}; got {type(error).__name__}; run the command again"
            raise UserError(words) from error
        found += [(str(run.relative_to(folder)) or ".", claim) for claim in claims]
    if not found:
        raise UserError(f"expected runs with claims below {folder}; got none; name a folder of finished runs")
    return found


def command(config: ClaimsTableConfig) -> str:
    """`python -m eval claims DIR`."""
    found = claims_of_runs(config.folder)
    rows = [{"run": run, **row} for (run, _), row in zip(found, claims_rows(c for _, c in found), strict=True)]
    if config.csv:
        with atomic_path(Path(config.csv)) as temporary:
            temporary.write_text(csv_text(rows), encoding="utf-8")
    return f"{text_table(rows, SHOWN)}\n{tally([claim for _, claim in found])}"
