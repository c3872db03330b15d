"""HTML: a page with one table, for reading by people. It is never chosen by an Accept header, only by its name."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from vo_service.formats.base import ResultTable, Writer
from vo_service.formats.values import as_text, contains_any, rows_of_text

# No address of the service is known here: the page stands alone, also when it is saved.
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem; color: #1c2430; background: #fff }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid #dde3ea }
th { position: sticky; top: 0; background: #f2f5f8 } th small { font-weight: normal; color: #5a6675 }
td.number { text-align: right } dt { font-weight: 600 } p.note { color: #8a3b00 }
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
        heads = "".join(map(self._head, range(len(self._table.columns))))
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f"<style>{_STYLE}</style></head><body>\n<h1>{title}</h1>\n"
            f"<p>{html.escape(self._table.description)}</p>\n<table><thead><tr>{heads}</tr></thead>\n<tbody>\n"
        ).encode()

    def batch(self, batch: pa.RecordBatch) -> bytes:
        return rows_of_text([_cells(array) for array in batch.columns], "<tr>", "", "</tr>\n")

    def end(self) -> tuple[bytes, ...]:
        return self._ending("")

    def overflow(self, maxrec: int) -> tuple[bytes, ...]:
        return self._ending(f"There are more rows than the {maxrec} above.")

    def failure(self, message: str) -> tuple[bytes, ...]:
        return self._ending(f"The query failed here; the rows above are not all: {message}")

    def _head(self, place: int) -> str:
        column = self._table.columns[place]
        unit = f" <small>[{html.escape(column.unit)}]</small>" if column.unit else ""
        told = html.escape(" - ".join(filter(None, (column.description, column.ucd))))
        return f'<th title="{told}">{html.escape(column.name)}{unit}</th>'

    def _ending(self, note: str) -> tuple[bytes, ...]:
        said = f'<p class="note">{html.escape(note)}</p>\n' if note else ""
        items = (f"<dt>{html.escape(i.name)}</dt><dd>{html.escape(i.value)}</dd>" for i in self._table.infos)
        return (f"</tbody></table>\n{said}<dl>{''.join(items)}</dl>\n</body></html>\n".encode(),)


def _cells(array: pa.Array) -> pa.StringArray:
    """Values as cells; NULL is an empty one."""
    kind = array.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    begin = '<td class="number">' if is_number else "<td>"
    text = as_text(array).fill_null("")
    if contains_any(text, "&", "<", ">"):
        for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = pc.replace_substring(text, pattern=character, replacement=entity)
    return pc.binary_join_element_wise(begin, text, "</td>", "")
