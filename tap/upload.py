"""Tables that come with a query (TAP 1.1, section 2.7.6): loaded, found as TAP_UPLOAD.name, dropped afterwards."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

from pydantic import TypeAdapter

from vo_service.catalog.model import Schema, Table
from vo_service.config import Settings
from vo_service.context import Context
from vo_service.dali.fetch import FetchLimits, fetch
from vo_service.dali.parameters import Parameters
from vo_service.dali.uploads import Upload, read_uploads
from vo_service.database.pools import Database
from vo_service.ingest.upload import SCHEMA, UploadedFile, UploadLimits, drop_uploads, store_uploads

Result = TypeVar("Result")

SYNC_LIFETIME: Final = timedelta(days=1)
"""Time after which tables of queries that were never finished are removed; far more than a query may take."""

# Of their own: neither slow hosts nor long loads keep others from the threads in which answers are written.
_FETCHING: Final = ThreadPoolExecutor(8, "fetch")
_LOADING: Final = ThreadPoolExecutor(4, "upload")


_TABLES = TypeAdapter(tuple[Table, ...])


class NotWantedError(Exception):
    """Who asked for the work has left."""


@dataclass(frozen=True, slots=True)
class Uploads:
    """The tables that came with a query, and stand in the database until `drop`."""

    tables: tuple[Table, ...]
    database: Database

    @property
    def schema(self) -> Schema:
        """The schema that the query finds them in."""
        return Schema(SCHEMA, self.tables, "Tables that were uploaded with the query")

    def to_json(self) -> str:
        """For the row of a job. The tables stay where they are."""
        return _TABLES.dump_json(self.tables).decode()

    @classmethod
    def from_json(cls, text: str, database: Database) -> Uploads:
        """The tables that `to_json` wrote down. Raises pydantic.ValidationError for other texts."""
        return cls(_TABLES.validate_json(text), database)

    async def drop(self) -> None:
        """Remove the tables from the database. A repetition does nothing."""
        if self.tables:
            await drop_uploads(self.database, self.tables)

    def drop_soon(self) -> None:
        """Remove them in the background: nobody has to wait for it."""
        if self.tables:
            self.database.in_background(self.drop())


async def load_uploads(
    parameters: Parameters, context: Context, *, lifetime: timedelta = SYNC_LIFETIME, durable: bool = False
) -> Uploads:
    """Load the tables that UPLOAD names.

    Parameters
    ----------
    lifetime
        Time after which they may be removed if nobody has done it.
    durable
        Whether their rows survive a crash of the database server: for queries that are run later.

    Raises UsageError if one cannot be had or read, TooLargeError if one is too large, UnavailableError.
    """
    asked = read_uploads(parameters)
    if not asked:
        return Uploads((), context.database)
    with tempfile.TemporaryDirectory(prefix="vo-service-", ignore_cleanup_errors=True) as directory:
        files = await _in_thread(_FETCHING, lambda check: _files(asked, parameters, context.settings, directory, check))
        limits = UploadLimits(context.settings.upload_limit_bytes, context.settings.upload_limit_rows)

        def load(check: Callable[[], None]) -> tuple[Table, ...]:
            access = context.database.access
            return store_uploads(access, files, limits, lifetime=lifetime, durable=durable, expect_wanted=check)

        return Uploads(await _in_thread(_LOADING, load), context.database)


def _files(
    asked: Sequence[Upload], parameters: Parameters, settings: Settings, directory: str, check: Callable[[], None]
) -> list[UploadedFile]:
    """The files of all uploads; those with a URL are fetched, and together with the others keep to the limit."""
    files = []
    left = settings.upload_limit_bytes - sum(path.stat().st_size for path in parameters.files.values())
    for number, upload in enumerate(asked):
        if upload.url is None:
            files.append(UploadedFile(upload.name, parameters.files[upload.part or ""]))
            continue
        path = Path(directory) / f"fetched-{number}"
        limits = FetchLimits(left, settings.upload_url_timeout, private=settings.upload_private_urls)
        fetch(upload.url, path, limits, check)
        left -= path.stat().st_size
        files.append(UploadedFile(upload.name, path))
    return files


async def _in_thread(pool: Executor, work: Callable[[Callable[[], None]], Result]) -> Result:
    """The result of work in a thread, which is told by its argument when nobody waits for it any more."""
    left = threading.Event()

    def expect_wanted() -> None:
        if left.is_set():
            raise NotWantedError

    running = asyncio.get_running_loop().run_in_executor(pool, work, expect_wanted)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        left.set()
        running.add_done_callback(_take_note)
        raise


def _take_note(finished: asyncio.Future[Result]) -> None:
    """What becomes of work that nobody waits for is of no interest."""
    if not finished.cancelled():
        finished.exception()
