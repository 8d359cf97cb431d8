"""How a finding's cells and headings are written in Markdown."""

from __future__ import annotations

from decimal import Decimal

from eval.findings.finding import Cell, Measured


def cell_text(cell: Cell) -> str:
    """A cell as it is read: `-0.833 [-0.847, -0.820]`, `(n 103)` and `(p 0.003)` behind it; nothing for null."""
    if cell is None or isinstance(cell, str):
        return cell or ""
    if not isinstance(cell, Measured):
        return _digits(cell)
    text = _digits(cell.value)
    if cell.low is not None and cell.high is not None:
        text += f" [{_digits(cell.low)}, {_digits(cell.high)}]"
    behind = [f"n {cell.n}"] if cell.n is not None else []
    behind += [f"p {_digits(cell.p)}"] if cell.p is not None else []
    return f"{text} ({', '.join(behind)})" if behind else text


def anchor(title: str) -> str:
    """The fragment that GitHub gives a heading."""
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def _digits(number: int | Decimal) -> str:
    return f"{number:,}" if isinstance(number, int) and abs(number) >= 1000 else f"{number:g}".replace("e+0", "e+")
