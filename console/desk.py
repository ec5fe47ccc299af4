"""What a page is given: the rows that the viewer has chosen, the words of the language, and what the viewer may do."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from analytics.board import Board, Held
from analytics.filters import Filter
from analytics.filters.sql import condition_of, quoted
from analytics.questions.filtered import columns_of
from analytics.questions.schema import Schema
from analytics.questions.sentences import Language
from analytics.requests import Joined
from analytics.stores.base import Range
from console.access import Viewer
from console.texts import text


@dataclass(frozen=True)
class Desk:
    """One run of one page. `since_ns` and `until_ns` bound the acceptance of the requests (ns since 1970, None = open)."""

    language: Language
    viewer: Viewer
    board: Board
    held: Held
    where: Filter | None
    since_ns: int | None
    until_ns: int | None

    def t(self, key: str, **values: Any) -> str:
        """The words of a key in the viewer's language. Raises KeyError for an unknown key."""
        return text(key, self.language, **values)

    def view(self) -> AbstractContextManager[Joined]:
        """The rows of the range; the board itself has as long a time before it, too."""
        return self.board.view(Range(self.since_ns, self.until_ns))

    def frame(self, columns: Sequence[str] | None = None, limit: int | None = None) -> pd.DataFrame:
        """The rows that pass the filter, with these columns (all of them without any); with a limit the newest."""
        with self.view() as view:
            if columns is None:
                return view.load(self.where, limit).table.to_pandas()
            condition, values = condition_of(self.where)
            cut = "" if limit is None else f" ORDER BY started_at DESC LIMIT {limit}"
            listed = ", ".join(map(quoted, columns))  # a million whole rows cost seconds that a page does not have
            return view.rows(f"SELECT {listed} FROM requests WHERE {condition}{cut}", values).to_pandas()

    @property
    def schema(self) -> Schema:
        """The parameters, outcomes and identities that the rows have columns for."""
        return Schema.of(self.held.table.slice(0, 0).to_pandas())

    def filled(self, *filters: Filter) -> list[str]:
        """The columns that hold any value, and those that filters decide by."""
        wanted = {*self.held.filled, *(name for one in filters for name in columns_of(one)), "extra"}
        return [name for name in self.held.table.column_names if name in wanted]

    def fresh(self) -> Desk:
        """The same with the newest rows: a part of a page that comes anew by itself asks for it."""
        return replace(self, held=self.board.held())

    @property
    def key(self) -> tuple[str, float, str | None]:
        """Names the rows and the filter: what a cached answer depends on."""
        return (self.where.text if self.where else "", self.held.taken_at, self.viewer.department)
