"""`python -m llm_codes sites`: every site of a model, and what is not offered with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eval.report.tables import text_table
from llm_codes.models import load_model
from llm_codes.sites import list_inside_sites, list_sites

if TYPE_CHECKING:
    from llm_codes.configs.spectra import SitesConfig


def command(config: SitesConfig) -> str:
    """`python -m llm_codes sites --model M`."""
    model = load_model(config.model, device=config.device)
    return text_table([site.to_json() for site in [*list_sites(model), *list_inside_sites(model)]])
