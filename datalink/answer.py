"""From identifiers to links: which of them there are, what is attached to them, in the order in which they came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg import sql

from datalink.descriptor import cutout_service
from datalink.identifiers import Target, dataset_id, find_target
from datalink.links import Link, failed, links_of, links_of_file, service_name
from vo_service.catalog.model import Column, Table
from vo_service.context import Context
from vo_service.coverage.axes import axes_of
from vo_service.database.arrow import sql_type
from vo_service.database.execute import stream
from vo_service.database.statement import Statement
from vo_service.errors import NotFoundError, UsageError
from vo_service.files.register import attached_to
from vo_service.formats.services import ServiceDescriptor


async def find_links(
    identifiers: Sequence[str], context: Context, base: str, within: Table | None = None
) -> tuple[list[list[Link]], tuple[ServiceDescriptor, ...]]:
    """The links of each identifier, and the services that they name.

    `base` is the address of the service; `within` the table of which primary keys alone are identifiers too.
    """
    authority = context.settings.authority
    targets: dict[str, Target] = {}
    groups: dict[str, list[Link]] = {}
    for identifier in identifiers:
        try:
            targets[identifier] = find_target(identifier, context.catalog, authority, within)
        except NotFoundError as error:
            groups[identifier] = [failed(identifier, f"NotFoundFault: {error.message}")]
        except UsageError as error:
            groups[identifier] = [failed(identifier, f"UsageFault: {error.message}")]
    services = []
    for table in dict.fromkeys(target.table for target in targets.values()):
        asked = [target for target in targets.values() if target.table == table]
        found, named = await _links_of_table(table, asked, context, base)
        groups |= found
        services += named
    return [groups[identifier] for identifier in identifiers], tuple(services)


async def _links_of_table(
    table: Table, targets: Sequence[Target], context: Context, base: str
) -> tuple[dict[str, list[Link]], list[ServiceDescriptor]]:
    keys = [target.key for target in targets if target.key is not None]
    present = await existing_keys(table, keys, context)
    attachments = await attached_to(context.database, table, keys)
    authority = context.settings.authority
    service = service_name(table) if axes_of(table) else None
    groups = {}
    for target in targets:
        if target.file is not None:
            groups[target.identifier] = links_of_file(target, attachments, base)
        elif target.key is None or target.key in present:
            groups[target.identifier] = list(links_of(target, attachments, base, authority, service))
        else:
            message = f"NotFoundFault: {table.schema}.{table.name} has no row {target.key[:60]}"
            groups[target.identifier] = [failed(target.identifier, message)]
    if service is None or all(target.key is not None or target.file is not None for target in targets):
        return groups, []
    url = f"{base}/datalink/cutout"
    return groups, [cutout_service(table, url, dataset_id(table, authority), service)]


async def existing_keys(table: Table, keys: Iterable[str], context: Context) -> set[str]:
    """Those of some primary keys, as text, that rows of the table have."""
    wanted = list(dict.fromkeys(keys))
    if not wanted or table.primary_key is None:
        return set()
    column = table.column(table.primary_key)
    key, name = sql.Identifier(column.name), sql.Identifier(table.schema, table.name)
    select = sql.SQL("SELECT e.{0}::text FROM {1} e WHERE e.{0} = ANY(").format(key, name).as_string(None)
    # A per cent sign in a name would be a placeholder to the driver.
    text = f"{select.replace('%', '%%')}%s::text[]::{sql_type(column)}[])"
    statement = Statement(text, (Column("key", "char", "*"),), (wanted,))
    async with stream(context.database, statement, timeout=context.settings.sync_timeout) as batches:
        return {key async for batch in batches for key in batch.column(0).to_pylist()}
