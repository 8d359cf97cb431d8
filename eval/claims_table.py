"""`python -m eval claims RUN...`: the claims of all runs at or below folders, in one table over wings and sources.

Text, CSV and one offline page. Only statements of a source and predictions of ours are counted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.claims import COUNTED, Claim, claims_in, claims_rows, tally
from eval.errors import UserError
from eval.files import write_text
from eval.options import Options, option
from eval.report.claims_section import add_claims, full_rows
from eval.report.page import Page
from eval.report.tables import csv_text, text_table
from eval.run_commands import run_folders

SHOWN = ("run", "verdict", "before correction", "claim", "source", "measured", "controls")


@dataclass(frozen=True, kw_only=True)
class ClaimsTableConfig(Options):
    """One table of the claims of all runs at or below folders."""

    folders: tuple[str, ...] = option((".",), "run folders, or folders that hold some", positional=True)
    csv: str = option("", "also write the whole table, with notes, to this CSV file")
    html: str = option("", "also write the whole table to this page, which opens offline")


def claims_of_runs(folders: Sequence[str]) -> list[tuple[str, Claim]]:
    """Run and claim, for every run at or below `folders` that has results; a claim said twice in a run counts once.

    Raises:
        UserError: no such folder, no claim in any, or results that cannot be read.
    """
    found: dict[Path, list[Claim]] = {}
    for run in (run for folder in folders for run in run_folders(folder)):
        path = run / "results.json"
        if run.resolve() in found or not path.exists():
            continue
        try:
            claims = list(claims_in(json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError) as error:
            words = f"expected results with claims in {path}; got {type(error).__name__}; run the command again"
            raise UserError(words) from error
        found[run.resolve()] = [claim for at, claim in enumerate(claims) if claim not in claims[:at]]
    if not any(found.values()):
        named = ", ".join(folders)
        raise UserError(f"expected runs with claims below {named}; got none; name a folder of finished runs")
    names = run_names(list(found), [Path(folder).resolve() for folder in folders])
    return [(name, claim) for name, claims in zip(names, found.values(), strict=True) for claim in claims]


def run_names(runs: Sequence[Path], folders: Sequence[Path]) -> list[str]:
    """Runs by their place below the one folder given, or below what several have in common."""
    top = folders[0] if len(folders) == 1 else Path(os.path.commonpath([*folders, *(run.parent for run in runs)]))
    return [run.name if run == top else str(run.relative_to(top)) for run in runs]


def claims_page(found: Sequence[tuple[str, Claim]]) -> str:
    """The whole table as one page; everything that runs wrote is escaped."""
    page = Page("Statements and verdicts", f"{len({run for run, _ in found})} runs, all wings and sources")
    page.style("@media screen { header, main { max-width: 1700px; } }")
    add_claims(page, [claim for _, claim in found], [run for run, _ in found])
    return page.html({"runs": sorted({run for run, _ in found})})


def command(config: ClaimsTableConfig) -> str:
    """`python -m eval claims RUN...`."""
    found = claims_of_runs(config.folders)
    claims = [claim for _, claim in found]
    names = [{"run": run} for run, _ in found]
    if config.csv:
        rows = [name | row for name, row in zip(names, full_rows(claims), strict=True)]
        write_text(Path(config.csv), csv_text(rows))
    if config.html:
        write_text(Path(config.html), claims_page(found))
    rows = [name | row for name, row in zip(names, claims_rows(claims), strict=True)]
    counted, apart = ([row for row in rows if (row["kind"] in COUNTED) == yes] for yes in (True, False))
    tables = [text_table(counted, SHOWN)]
    if apart:
        tables.append(f"Theorems and self-tests, not counted:\n{text_table(apart, SHOWN)}")
    return "\n\n".join([tally(claims), *(table for table in tables if table)])
