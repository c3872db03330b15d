"""The page about a table as a resource, and the same in the formats of registries: `/resource/<schema>/<table>`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from registry_records.datacite import datacite_json, datacite_xml
from registry_records.names import identifier, table_of
from registry_records.record import Record
from registry_records.records import Records
from registry_records.stamps import read_stamp
from registry_records.tables import landing_page
from registry_records.voresource import utc, voresource
from vo_service.catalog.model import Table
from vo_service.dali.endpoints import base_url
from vo_service.dali.negotiation import HTML, JSON, XML, chosen_format
from vo_service.dali.parameters import read_parameters
from vo_service.errors import NotFoundError, ServiceError
from vo_service.vosi.documents import serialise
from vo_service.web.pages import way_to_root
from vo_service.web.render import render

DATACITE_JSON: Final = ("application/vnd.datacite.datacite+json",)
DATACITE_XML: Final = ("application/vnd.datacite.datacite+xml",)

FORMATS: Final = {
    "html": HTML,
    "voresource": ("application/x-voresource+xml", *XML),
    "datacite-xml": DATACITE_XML,
    "datacite-json": (*DATACITE_JSON, *JSON),
}
"""By their names in RESPONSEFORMAT, the media types by which they are asked for; the first is sent to all others."""

_WRITERS: Final[dict[str, tuple[str, Callable[[Record, str], bytes]]]] = {
    "voresource": ("application/xml", lambda record, _: serialise(voresource(record))),
    "datacite-xml": (DATACITE_XML[0], lambda record, page: serialise(datacite_xml(record, page))),
    "datacite-json": (
        DATACITE_JSON[0],
        lambda record, page: json.dumps(datacite_json(record, page), ensure_ascii=False, indent=1).encode(),
    ),
}


class GoneError(ServiceError):
    """There was something under this name; it has been withdrawn."""

    status = 410


class Landing:
    """Answers requests."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def answer(self, request: Request) -> Response:
        """A page, or a document."""
        wanted = chosen_format(request, await read_parameters(request), FORMATS)
        base = base_url(request, self._records.settings)
        try:
            table, record = await self._find(f"{request.path_params['schema']}/{request.path_params['table']}", base)
        except (NotFoundError, GoneError) as error:
            if wanted != "html":
                raise
            return self._page(request, "missing.html", status=error.status, what=error.message)
        address = landing_page(table, base)
        links = {"Link": _signposts(record, address), "Vary": "Accept"}
        if wanted == "html":
            response = self._page(
                request, "resource.html", record=record, table=table, updated=utc(record.dates.updated)
            )
            response.headers.update(links)
            return response
        media, write = _WRITERS[wanted]
        return Response(write(record, address), media_type=media, headers=links)

    async def _find(self, key: str, base: str) -> tuple[Table, Record]:
        """A published table and its record. Raises NotFoundError, GoneError."""
        stamp = await self._records.read(lambda connection: read_stamp(connection, key))
        name = key.replace("/", ".")
        if stamp is None:
            raise NotFoundError(f"No table {name} is published here as a resource.")
        coverages = await self._records.coverages([stamp])
        table = table_of(self._records.context.catalog, key)
        record = await self._records.record(stamp, base, coverages)
        if table is None or record is None:
            ivoid = identifier(self._records.settings, stamp.key)
            raise GoneError(f"The table {name} ({ivoid}) was withdrawn on {stamp.datestamp:%Y-%m-%d}.")
        return table, record

    def _page(self, request: Request, template: str, *, status: int = 200, **values: object) -> Response:
        settings = self._records.settings
        shared = {"settings": settings, "base": base_url(request, settings), "root": way_to_root(request)}
        response = render(template, shared | {"endpoints": ()} | values, status=status)
        response.headers["Vary"] = "Accept"
        return response


def _signposts(record: Record, address: str) -> str:
    """For programs: what the page is about, and where it is described in other formats (FAIR Signposting)."""
    described = (
        f'<{address}?RESPONSEFORMAT={name}>; rel="describedby"; type="{media}"' for name, (media, _) in _WRITERS.items()
    )
    cited = (f'<https://doi.org/{record.about.doi}>; rel="cite-as"',) if record.about.doi else ()
    return ", ".join((*described, *(link for link in cited if link.isascii())))
