"""HTML: a page with one table, for reading by people. It is never chosen by an Accept header, only by its name."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from vo_service.catalog.model import Column
from vo_service.formats.base import ResultTable, Writer
from vo_service.formats.values import as_text, contains_any, rows_of_text

# The page stands alone, also when it is saved: it has the colours of the service's pages (`web/static/style.css`), not
# their style sheet, whose address is not known here.
_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --panel: #f5f7f9; --line: #d8dee5; --ink: #1b2229; --quiet: #55606c;
  --signal: #7a4b00; --link: #0b5a99 }
@media (prefers-color-scheme: dark) { :root { --paper: #12161b; --panel: #1a2027; --line: #323b46; --ink: #e4e9ee;
  --quiet: #a3aebb; --signal: #f5c877; --link: #7dbcf0 } }
body { margin: 1.5rem; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
a { color: var(--link) }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line);
  max-width: 30rem; overflow-wrap: break-word }
thead th { position: sticky; top: 0; background: var(--panel) }
th small { display: block; min-width: 6rem; font-weight: normal; color: var(--quiet) }
td.number { text-align: right; white-space: nowrap }
dl { display: grid; grid-template-columns: max-content auto; gap: .1rem 1rem; overflow-wrap: anywhere }
dd { margin: 0 } p.note { color: var(--signal); font-weight: 600 }
"""


@dataclass(frozen=True, slots=True)
class Html:
    """A page."""

    mime_type: str = "text/html"
    aliases: tuple[str, ...] = ("html",)
    extension: str = "html"
    ivoid: str | None = None

    def writer(self, table: ResultTable, options: Mapping[str, str]) -> HtmlWriter:
        return HtmlWriter(table)


class HtmlWriter(Writer):
    """Writes one page."""

    def __init__(self, table: ResultTable) -> None:
        self._table = table

    def start(self) -> bytes:
        title = html.escape(self._table.name)
        told = f"<p>{html.escape(self._table.description)}</p>\n" if self._table.description else ""
        heads = "".join(map(_head, self._table.columns))
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{_STYLE}</style></head><body>\n<h1>{title}</h1>\n{told}"
            f"<table><thead><tr>{heads}</tr></thead>\n<tbody>\n"
        ).encode()

    def batch(self, batch: pa.RecordBatch) -> bytes:
        cells = [part for array in batch.columns for part in ("</td>", _begin(array.type), _escaped(as_text(array)))]
        return rows_of_text(cells[1:], "<tr>", "", "</td></tr>\n")

    def end(self) -> tuple[bytes, ...]:
        return self._ending("")

    def overflow(self, maxrec: int) -> tuple[bytes, ...]:
        return self._ending(f"There are more rows than the {maxrec} above.")

    def failure(self, message: str) -> tuple[bytes, ...]:
        return self._ending(f"The query failed here; the rows above are not all: {message}")

    def _ending(self, note: str) -> tuple[bytes, ...]:
        said = f'<p class="note">{html.escape(note)}</p>\n' if note else ""
        items = "".join(
            f"<dt>{html.escape(info.name)}</dt><dd>{_linked(info.value)}</dd>" for info in self._table.infos
        )
        return (f"</tbody></table>\n{said}<dl>{items}</dl>\n</body></html>\n".encode(),)


def _head(column: Column) -> str:
    """Name and unit of a column, below them what it is; the UCD shows under the mouse."""
    unit = f" [{html.escape(column.unit)}]" if column.unit else ""
    told = f"<small>{html.escape(column.description)}</small>" if column.description else ""
    ucd = f' title="{html.escape(column.ucd)}"' if column.ucd else ""
    return f'<th scope="col"{ucd}>{html.escape(column.name)}{unit}{told}</th>'


def _linked(text: str) -> str:
    escaped = html.escape(text)
    is_link = text.startswith(("http://", "https://")) and " " not in text
    return f'<a href="{escaped}" rel="noreferrer">{escaped}</a>' if is_link else escaped


def _begin(kind: pa.DataType) -> str:
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return '<td class="number">' if is_number else "<td>"


def _escaped(text: pa.StringArray) -> pa.StringArray:
    if contains_any(text, "&", "<", ">"):
        for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = pc.replace_substring(text, pattern=character, replacement=entity)
    return text
