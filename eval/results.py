"""Results with types: one frozen dataclass is the JSON, the table, the frame and the few lines at a prompt.

    @result
    class SiteAlpha(Result):
        site: str
        alpha: Score

    @result
    class Alphas(Result):
        sites: tuple[SiteAlpha, ...]
        table = "sites"          # what to_frame, to_csv and repr show

`save` and `load_result` keep a result as one JSON file that names its class; only classes of this suite are opened.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, dataclass_transform

from markupsafe import Markup

from eval.errors import UserError
from eval.files import json_text, write_text
from eval.report.tables import csv_text, text_table
from eval.result_json import from_json, measured, noted, to_json

if TYPE_CHECKING:
    import pandas

PACKAGES = ("eval", "llm_codes", "vision_codes", "toy")
SHOWN_ROWS = 8
Kind = TypeVar("Kind", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(measured, noted, dataclasses.field))
def result(kind: Kind) -> Kind:
    """Make a class a frozen dataclass whose equality, repr and JSON are `Result`'s."""
    return dataclasses.dataclass(frozen=True, eq=False, repr=False)(kind)  # type: ignore[return-value]


class Result:
    """Base of typed results.

    table: name of the field (a tuple of results) that is shown as rows; empty: the result is one row.
    columns: columns of the short table (empty: all).
    drawing: `module:function` that draws the result, for `plot()`; empty: it has no picture.
    """

    table: ClassVar[str] = ""
    columns: ClassVar[Sequence[str]] = ()
    drawing: ClassVar[str] = ""

    def to_json(self) -> dict[str, Any]:
        """The documented keys, as plain JSON values."""
        return to_json(self)

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """The result that `to_json` wrote."""
        return from_json(cls, data)

    def rows(self) -> list[dict[str, Any]]:
        """The rows of its table, as JSON values."""
        return [to_json(row) for row in getattr(self, self.table)] if self.table else [self.to_json()]

    def to_frame(self) -> pandas.DataFrame:
        """The rows as a pandas frame; an interval is one column `<name>_ci` of pairs."""
        import pandas

        return pandas.DataFrame(self.rows())

    def to_csv(self) -> str:
        """The rows as CSV with full precision."""
        return csv_text(self.rows())

    def text(self, rows: int | None = None) -> str:
        """The short table, aligned."""
        return text_table(self.rows()[:rows], self.columns or None)

    def plot(self) -> Any:
        """A matplotlib figure of the result.

        Raises `UserError` where the result has no picture.
        """
        if not self.drawing:
            raise UserError(f"expected a result with a picture; {type(self).__name__} has none; use to_frame()")
        module, _, name = self.drawing.partition(":")
        return getattr(importlib.import_module(module), name)(self)

    def save(self, path: str | Path) -> Path:
        """Write the result as one JSON file that `load_result` opens, atomically."""
        target = Path(path)
        kind = type(self)
        write_text(target, json_text({"result": f"{kind.__module__}:{kind.__qualname__}", **self.to_json()}))
        return target

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.to_json() == to_json(other)

    def __hash__(self) -> int:
        return hash(json_text(self.to_json()))

    def __repr__(self) -> str:
        shown = self.rows()
        plain = {k: v for k, v in shown[0].items() if not isinstance(v, (dict, list))} if not self.table else {}
        if not self.table:
            return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in list(plain.items())[:8])})"
        more = f"\n... {len(shown) - SHOWN_ROWS} more" if len(shown) > SHOWN_ROWS else ""
        return f"{type(self).__name__}: {len(shown)} rows\n{text_table(_short(shown, self.columns))}{more}"

    def _repr_html_(self) -> str:
        rows = _short(self.rows(), self.columns)
        names = list(rows[0]) if rows else []
        line = Markup("<tr>{}</tr>")
        head = line.format(Markup("").join(Markup("<th>{}</th>").format(name) for name in names))
        body = Markup("").join(
            line.format(Markup("").join(Markup("<td>{}</td>").format(row.get(name)) for name in names)) for row in rows
        )
        return str(Markup("<table>{}{}</table>").format(head, body))


def _short(rows: list[dict[str, Any]], columns: Sequence[str]) -> list[dict[str, Any]]:
    """The first rows with the columns that fit a line: the named ones, or the first eight that are no objects."""
    if not rows:
        return []
    flat = [key for key, value in rows[0].items() if not isinstance(value, dict)]
    names = list(columns) or flat[:8]
    return [{name: row.get(name) for name in names} for row in rows[:SHOWN_ROWS]]


def load_result(path: str | Path) -> Any:
    """The result saved at `path`.

    Raises `UserError` for a file that is missing, damaged, or names no result of this suite.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        module, _, name = data.pop("result").partition(":")
    except (OSError, ValueError, KeyError, AttributeError) as error:
        words = f"expected a saved result at {path}; got {type(error).__name__}; save one with .save()"
        raise UserError(words) from error
    kind = getattr(importlib.import_module(module), name, None) if module.split(".")[0] in PACKAGES else None
    if not (isinstance(kind, type) and issubclass(kind, Result)):
        raise UserError(f"expected a result of this suite in {path}; got {module}:{name}; save one with .save()")
    try:
        return kind.from_json(data)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged or of another version ({error}); compute it again") from error
