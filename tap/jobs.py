"""Queries as jobs (TAP 1.1, section 2.3): the same steps as of those that are answered at once, but to a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, closing, nullcontext
from datetime import timedelta

import pyarrow as pa

from tap.pipeline import to_statement
from tap.request import read_request
from tap.upload import Uploads, load_uploads
from vo_service.catalog.model import Catalog
from vo_service.context import Context
from vo_service.dali.answer import content_type
from vo_service.dali.links import query_links
from vo_service.dali.origin import origin
from vo_service.dali.parameters import Parameters
from vo_service.database.execute import stream
from vo_service.formats.base import ResultTable
from vo_service.formats.document import document
from vo_service.uws.model import Job
from vo_service.uws.results import Output

ASYNC = "ivo://ivoa.net/std/TAP#async-1.1"

RESULT = "result"
"""The name of a query's result (TAP 1.1, section 2.3)."""

_SPARE = timedelta(days=1)
"""Time for which uploaded tables are kept beyond the longest life of a job, before they count as forgotten."""


class TapJobs:
    """The jobs below `/tap/async`. What they keep attached is their uploaded tables."""

    name = "tap"
    accumulated = frozenset({"UPLOAD"})

    async def attach(self, parameters: Parameters, attachments: str | None, context: Context) -> str | None:
        """Load the tables that UPLOAD names, beside those that the job has."""
        if not parameters.all("UPLOAD"):
            return attachments
        lifetime = timedelta(seconds=context.settings.job_lifetime_limit) + _SPARE
        new = await load_uploads(parameters, context, lifetime=lifetime, durable=True)
        old = () if attachments is None else Uploads.from_json(attachments, context.database).tables
        names = {table.name.lower() for table in new.tables}
        kept = tuple(table for table in old if table.name.lower() not in names)
        replaced = tuple(table for table in old if table.name.lower() in names)
        Uploads(replaced, context.database).drop_soon()
        return Uploads(kept + new.tables, context.database).to_json()

    async def run(self, job: Job, context: Context, output: Output) -> None:
        """Read the parameters, which nobody has looked at before, and write what the query finds."""
        asked = read_request(Parameters(job.parameters), context.settings)
        statement = await to_statement(asked, _catalog(job, context))
        infos = origin(context.settings, ASYNC, statement.sources, query=asked.query)
        # A worker does not know by which address clients reach the service, unless it is told.
        base = context.settings.public_url
        links = query_links(base, statement.sources, statement.columns) if base is not None else ()
        table = ResultTable(columns=statement.columns, infos=infos, services=links)
        rows = stream(context.database, statement, timeout=job.execution_seconds) if asked.maxrec > 0 else nullcontext()
        with closing(asked.format.writer(table)) as writer:
            async with (
                output.result(RESULT, content_type(asked.format), asked.format.format.extension) as file,
                rows as batches,
                aclosing(document(writer, _counted(batches, output, asked.maxrec), asked.maxrec)) as pieces,
            ):
                async for piece in pieces:
                    await file.write(piece)

    async def discard(self, attachments: str, context: Context) -> None:
        """Drop the uploaded tables."""
        await Uploads.from_json(attachments, context.database).drop()


def _catalog(job: Job, context: Context) -> Catalog:
    """What the query may name: what is published, and its own uploads."""
    if job.attachments is None:
        return context.catalog
    return context.catalog.with_schema(Uploads.from_json(job.attachments, context.database).schema)


def _counted(
    batches: AsyncIterator[pa.RecordBatch] | None, output: Output, maxrec: int
) -> AsyncIterator[pa.RecordBatch] | None:
    """The batches; whoever takes them has the number of their rows told, which is not more than `maxrec`."""
    output.rows = 0
    return None if batches is None else _counting(batches, output, maxrec)


async def _counting(
    batches: AsyncIterator[pa.RecordBatch], output: Output, maxrec: int
) -> AsyncIterator[pa.RecordBatch]:
    rows = 0
    async for batch in batches:
        rows = min(rows + batch.num_rows, maxrec)
        output.rows = rows
        yield batch
