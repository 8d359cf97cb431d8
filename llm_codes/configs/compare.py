"""Configuration of `compare`."""

from __future__ import annotations

from dataclasses import dataclass

from eval.options import FolderConfig, option


@dataclass(frozen=True, kw_only=True)
class CompareConfig(FolderConfig):
    """Set spectra runs on the same corpus side by side: alpha by depth, differences with intervals, a series."""

    run_a: str = option(help="folder of a `spectra` or `report` run", positional=True)
    run_b: str = option(help="folder of another one on the same corpus", positional=True)
    more: tuple[str, ...] = option((), "folders of further ones, in the order of the series", positional=True)
    out: str = option("runs/compare", "run folder; the same command on the same folder continues", identity=False)
