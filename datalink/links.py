"""The links of tables and rows: the table that DataLink answers with (DataLink 1.1, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from urllib.parse import quote, urlencode

import pyarrow as pa

from datalink.identifiers import Target, dataset_id
from vo_service.catalog.model import Column, Resource, Table
from vo_service.database.arrow import arrow_schema, batch_of_rows
from vo_service.files.register import Attachment
from vo_service.files.serve import file_path
from vo_service.formats.registry import FORMATS


def _text(name: str, ucd: str | None, description: str) -> Column:
    return Column(name, "char", "*", ucd=ucd, description=description)


COLUMNS = (
    _text("ID", "meta.id;meta.main", "The identifier that was asked for"),
    _text("access_url", "meta.ref.url", "Address of the data"),
    _text("service_def", "meta.ref", "XML ID of the description of a service"),
    _text("error_message", "meta.code.error", "Why there is no link"),
    _text("description", "meta.note", "What is behind the link"),
    _text("semantics", "meta.code", "What the data are to what was asked for"),
    _text("content_type", "meta.code.mime", "Media type of the data"),
    Column("content_length", "long", unit="byte", ucd="phys.size;meta.file", description="Size of the data"),
    _text("content_qualifier", None, "Kind of data product"),
    _text("local_semantics", "meta.id.assoc", "The same for links of the same kind"),
    _text("link_auth", "meta.code", "Whether the link wants its user to log in"),
    Column("link_authorized", "boolean", ucd="meta.code", description="Whether this client may use the link"),
)

_INHERITED = frozenset({"#calibration", "#documentation", "#auxiliary", "#error", "#noise"})
"""What belongs to each row of a table if it belongs to the table."""


@dataclass(frozen=True, slots=True)
class Link:
    """A row of the answer; the fields are its columns."""

    identifier: str
    access_url: str | None = None
    service_def: str | None = None
    error_message: str | None = None
    description: str | None = None
    semantics: str = "#this"
    content_type: str | None = None
    content_length: int | None = None
    content_qualifier: str | None = None
    local_semantics: str | None = None
    link_auth: str | None = "false"
    link_authorized: bool | None = True


def failed(identifier: str, message: str) -> Link:
    """The row of an identifier without links; the message begins with the name of a fault."""
    return Link(identifier, error_message=message, link_auth=None, link_authorized=None)


def links_of(
    target: Target, attachments: Iterable[Attachment], base: str, authority: str, service: str | None
) -> Iterator[Link]:
    """The links of a table or row: itself, how to cut it, its files, its documents.

    `service` is the XML ID of the description of the table's cut-outs, None if it has none.
    """
    identifier = target.identifier
    name = f"{target.table.schema}.{target.table.name}"
    what = f"The whole of {name}" if target.key is None else f"This row of {name}"
    this = urlencode({"ID": dataset_id(target.table, authority, target.key)})
    qualifier = "#event-list" if target.key is None and target.table.is_event_list else None
    yield Link(
        identifier, f"{base}/datalink/cutout?{this}", description=what,
        content_type=FORMATS[0].mime_type, content_qualifier=qualifier, local_semantics="rows",
    )  # fmt: skip
    if target.key is None and service is not None:
        yield Link(
            identifier, service_def=service, description="Events in a region of the sky, of time, of energy",
            semantics="#cutout", content_type=FORMATS[0].mime_type, content_qualifier=qualifier,
            local_semantics="cutout",
        )  # fmt: skip
    for attachment in attachments:
        if attachment.row_key == target.key or (attachment.row_key is None and attachment.semantics in _INHERITED):
            yield _file(identifier, attachment, base)
    if target.table.resource is not None:
        yield from _documents(identifier, target.table.resource)


def links_of_file(target: Target, attachments: Iterable[Attachment], base: str) -> list[Link]:
    """The link of a file that is attached to a table, which has an identifier of its own."""
    found = [attachment for attachment in attachments if attachment.attachment_id == target.file]
    if not found:
        return [failed(target.identifier, "NotFoundFault: there is no such file")]
    return [replace(_file(target.identifier, found[0], base), semantics="#this")]


def _file(identifier: str, attachment: Attachment, base: str) -> Link:
    return Link(
        identifier, f"{base}/{file_path(attachment)}", description=attachment.description or attachment.name,
        semantics=attachment.semantics, content_type=attachment.content_type,
        content_length=attachment.content_length, content_qualifier=attachment.content_qualifier,
    )  # fmt: skip


def _documents(identifier: str, resource: Resource) -> Iterator[Link]:
    """Where the data are described, as far as the publisher says."""
    if resource.reference_url:
        yield Link(
            identifier, resource.reference_url, description=f"About {resource.title}", semantics="#documentation",
            local_semantics="reference",
        )  # fmt: skip
    if resource.doi:
        address = f"https://doi.org/{quote(resource.doi.removeprefix('doi:'), safe='/')}"
        yield Link(
            identifier, address, description=f"DOI of {resource.title}", semantics="#documentation",
            content_type="text/html", local_semantics="doi",
        )  # fmt: skip


def within_limit(groups: Sequence[Sequence[Link]], maxrec: int) -> tuple[list[Link], bool]:
    """As many whole groups as there may be rows, and whether that are not all: links of one identifier stay together
    (DataLink 1.1, section 2.1.1)."""
    links: list[Link] = []
    for group in groups:
        if len(links) + len(group) > maxrec:
            return links, True
        links += group
    return links, False


def as_batch(links: Sequence[Link]) -> pa.RecordBatch:
    """The links as a record batch of `COLUMNS`."""
    schema = arrow_schema(COLUMNS)
    if not links:
        return pa.RecordBatch.from_pylist([], schema=schema)
    return batch_of_rows([astuple(link) for link in links], schema)


def service_name(table: Table) -> str:
    """XML ID of the description of a table's cut-outs; tables of other names have others."""
    return "cutout_" + "".join(
        character if character.isascii() and character.isalnum() else f"_{ord(character):x}_"
        for character in f"{table.schema}.{table.name}"
    )
