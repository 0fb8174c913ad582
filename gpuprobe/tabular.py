"""Tables at the edge of the API: rows as a pandas DataFrame, and as the HTML that notebooks show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from gpuprobe.errors import Exit, GpuprobeError

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 40
"""Rows that a notebook shows; the DataFrame holds all."""


def frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """A DataFrame with a column for every key, in order of appearance; GpuprobeError where pandas is missing."""
    try:
        import pandas as pd  # noqa: PLC0415 - 300 ms, and only the extra [notebooks] brings it
    except ImportError as error:
        raise GpuprobeError(
            "DataFrames need pandas", "pip install 'gpuprobe[notebooks]'", Exit.MACHINE_LACKS
        ) from error
    return pd.DataFrame.from_records(list(rows))


def html(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table under a title as HTML; all text is escaped, and of more than SHOWN rows the first are shown."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows[:SHOWN])
    more = f"<p>{len(rows) - SHOWN} further rows: to_frame() holds all.</p>" if len(rows) > SHOWN else ""
    return f"<p>{escape(title)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"
