"""The contract of an output format: what a writer is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from vo_service.catalog.model import Column
from vo_service.formats.services import ServiceDescriptor


@dataclass(frozen=True, slots=True)
class Info:
    """An INFO element of the result (VOTable 1.4, section 4.1): a name, a value, and prose."""

    name: str
    value: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class ResultTable:
    """What is known of a result before its first row: the head of every document.

    Attributes
    ----------
    columns
        One per column of the record batches, in order.
    name
        Name of the table; TAP 1.1 section 2.7.1 asks for none in particular, clients show it.
    description
        Prose on the result as a whole.
    infos
        Data origin and request echo (query, publisher, licence, ...), in order.
    frame
        Reference frame of the columns that hold positions: "ICRS".
    services
        Services that values of the result can be sent to; formats that have no place for them leave them out.
    """

    columns: tuple[Column, ...]
    name: str = "result"
    description: str = ""
    infos: tuple[Info, ...] = ()
    frame: str = "ICRS"
    services: tuple[ServiceDescriptor, ...] = ()


class Writer(Protocol):
    """Writes one result. Methods are called in this order: start, batch*, one of the ends, close.

    Formats that know their head from the start write as rows come. Others keep rows in a temporary file and write all
    at their end, in pieces: those ends are generators, whose pieces are made as they are taken (`document.pieces`).
    Ends whose pieces are ready are tuples.
    """

    def start(self) -> bytes:
        """Everything before the first row."""
        ...

    def batch(self, batch: pa.RecordBatch) -> bytes:
        """Some rows."""
        ...

    def end(self) -> Iterable[bytes]:
        """Everything after the last row of a complete result."""
        ...

    def overflow(self, maxrec: int) -> Iterable[bytes]:
        """As `end`, where rows beyond `maxrec` exist and were left out (DALI 1.1, section 4.4.1)."""
        ...

    def failure(self, message: str) -> Iterable[bytes]:
        """As `end`, where the database failed after bytes were sent (DALI 1.1, section 4.4.1).

        Raises QueryError, with the message, in formats that cannot tell of a failure.
        """
        ...

    def close(self) -> None:
        """Release what the writer holds, such as a temporary file; most hold nothing. The second time does nothing."""
        return


class Format(Protocol):
    """An output format. One instance per format stands in `vo_service.formats.registry.FORMATS`."""

    @property
    def mime_type(self) -> str:
        """The MIME type, with parameters, that capabilities announce."""
        ...

    @property
    def aliases(self) -> tuple[str, ...]:
        """Short names (DALI 1.1, table 1) and further MIME types that select this format, in lower case."""
        ...

    @property
    def extension(self) -> str:
        """File name extension, without the dot."""
        ...

    @property
    def ivoid(self) -> str | None:
        """Identifier of the format in TAPRegExt 1.0, if it has one."""
        ...

    def writer(self, table: ResultTable, options: Mapping[str, str]) -> Writer:
        """A writer for one result. `options` are MIME parameters of the request (such as serialization)."""
        ...
