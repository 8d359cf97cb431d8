"""The shipped dictionaries' `card.html`, written again from their `card.json` by today's page: `make cards`.

Needed after each change of the page's style or of the card's chapters: a test compares each page with its data.
"""

from __future__ import annotations

from pathlib import Path

from llm_codes.lenses.saes.card import read_card, write_card
from llm_codes.lenses.saes.shipped import SHIPPED, shipped_transcoders


def shipped_cards() -> list[Path]:
    """The folders of shipped dictionaries that have a card."""
    folders = [*sorted(SHIPPED.iterdir()), *shipped_transcoders().values()]
    return [folder for folder in folders if (folder / "card.json").is_file()]


if __name__ == "__main__":
    for folder in shipped_cards():
        write_card(read_card(folder), folder)
