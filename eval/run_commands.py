"""`python -m eval runs list|show|clean DIR`: what run folders hold, how they stand, and what can go."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.errors import UserError
from eval.files import SEAL_SUFFIX, half_written, is_intact, read_seal, seal_path
from eval.options import Options, option
from eval.progress import duration
from eval.report.tables import text_table
from eval.run_folder import holds_results
from eval.run_identity import Origin, code_of
from eval.run_items import DAMAGED, STALE
from eval.run_marker import MARKER, is_alive, read_marker, seconds_silent, status_of


@dataclass(frozen=True, kw_only=True)
class RunsConfig(Options):
    """Run folders below a folder."""

    folder: str = option(".", "where to look (with everything below)", positional=True)


@dataclass(frozen=True, kw_only=True)
class CleanConfig(RunsConfig):
    """Remove what a run set aside: damaged and stale pieces, half-written files, runs that left nothing."""

    yes: bool = option(False, "remove; without it what would go is only listed")


def run_folders(folder: str) -> list[Path]:
    """Every run folder at or below `folder`, sorted.

    Raises:
        UserError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise UserError(f"expected a folder with runs; got {folder}; name one that is there")
    return sorted(path.parent for path in Path(folder).rglob(MARKER))


def _facts_of(folder: Path) -> dict[str, Any]:
    """`run.json`; a damaged one is an empty one."""
    try:
        return read_marker(folder) or {}
    except UserError:
        return {}


def _row_of(folder: Path) -> dict[str, Any]:
    """One line of the list: status, verb, finished items, size, since when there has been no sign of life."""
    facts = _facts_of(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {
        "run": str(folder),
        "verb": (facts.get("identity") or {}).get("verb", ""),
        "status": status_of(facts) if facts else "damaged",
        "items": len(list(folder.glob("items/*.json"))),
        "MB": round(size / 1e6, 1),
        "last sign": f"{duration(seconds_silent(facts))} ago" if facts.get("heartbeat") else "",
        "reason": facts.get("reason") or "",
    }


def list_command(config: RunsConfig) -> str:
    """`python -m eval runs list DIR`."""
    rows = [_row_of(folder) for folder in run_folders(config.folder)]
    return text_table(rows) if rows else f"no runs in {config.folder}"


def piece_rows(folder: Path, facts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every item and array of a run: whole or damaged, of today's code or stale."""
    inputs = facts.get("inputs") or {}
    for path in sorted([*folder.glob("items/*.json"), *folder.glob("arrays/*.npz")]):
        sealed = read_seal(path)
        origin = Origin.from_json((sealed or {}).get("origin"))
        row = {"piece": str(path.relative_to(folder)), "code": "".join(origin.modules[:1]) if origin else ""}
        if sealed is None or origin is None:
            yield row | {"state": "of unknown origin"}
        elif not is_intact(path):
            yield row | {"state": "damaged"}
        else:
            changed = origin.differences(Origin(origin.config, inputs, code_of(origin.modules), origin.modules))
            yield row | {"state": f"stale: {', '.join(changed)}" if changed else "good"}


def show_command(config: RunsConfig) -> str:
    """`python -m eval runs show DIR`: one run, its pieces, and whether today's code would make them so."""
    folder = Path(config.folder)
    facts = _facts_of(folder)
    if not facts:
        raise UserError(f"expected a run folder; got {folder} (no {MARKER} that can be read); see `runs list`")
    code = "same as now" if facts.get("code") == code_of(facts.get("modules") or ()) else "edited since"
    words = {
        "command": " ".join(facts.get("command") or []),
        "status": status_of(facts) + (f" ({facts['reason']})" if facts.get("reason") else ""),
        "process": f"{facts.get('pid')} on {facts.get('host')}, last sign {facts.get('heartbeat')}",
        "code": f"{facts.get('code')} ({code})",
        **{f"input {name}": value for name, value in (facts.get("inputs") or {}).items()},
        **{name: value for name, value in (facts.get("identity") or {}).items() if name != "verb"},
    }
    lines = [f"{name}: {value}" for name, value in words.items()]
    pieces = list(piece_rows(folder, facts))
    return "\n".join(lines) + ("\n\n" + text_table(pieces) if pieces else "")


def leftovers(folder: Path) -> list[Path]:
    """What can go: pieces set aside, half-written files, and a whole run that left nothing. A living run keeps all."""
    facts = _facts_of(folder)
    if is_alive(facts):
        return []
    if facts and not holds_results(folder) and status_of(facts) != "finished":
        return [folder]
    aside = [path for path in folder.rglob("*") if path.name.endswith((DAMAGED, STALE)) and path.is_file()]
    seals = [seal_path(path) for path in aside if seal_path(path).exists()]
    orphans = [path for path in folder.rglob(f"*{SEAL_SUFFIX}") if not path.with_name(path.stem).exists()]
    return sorted({*aside, *seals, *orphans, *half_written(folder)})


def clean_command(config: CleanConfig) -> str:
    """`python -m eval runs clean DIR`."""
    found = [path for folder in run_folders(config.folder) for path in leftovers(folder)]
    if not found:
        return "nothing to remove"
    if config.yes:
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    lines = [str(path) for path in found]
    return "\n".join([*lines, f"{len(found)} removed" if config.yes else f"{len(found)} would go; add --yes"])
