"""The publishing registry: requests of OAI-PMH 2.0 are answered, lists as streams."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from lxml import etree
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from registry_records.names import REGISTRY, identifier, key_of
from registry_records.oai_documents import (
    add_formats,
    add_header,
    add_identify,
    add_metadata,
    add_sets,
    detached_record,
    error_document,
    frame,
    put,
)
from registry_records.oai_request import OaiError, OaiRequest, checked_prefix, read_place, read_request
from registry_records.records import Records
from registry_records.stamps import Stamp, count_stamps, earliest, read_stamp, read_stamps
from registry_records.tokens import Place, write_token
from registry_records.voresource import written
from vo_service.config import Settings
from vo_service.coverage.model import Coverage
from vo_service.dali.endpoints import base_url, xml
from vo_service.dali.errors import message_of
from vo_service.dali.parameters import read_parameters
from vo_service.errors import ServiceError, UsageError
from vo_service.vosi.documents import Element, serialise

_EMAIL = re.compile(r"\S+@(\S+\.)+\S+")
"""As the schema of OAI-PMH has it."""

_PLACE = b"<!--records-->"
"""Where records go in the frame of a list."""


class Oai:
    """Answers requests."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._settings = records.settings
        self._verbs = {
            "Identify": self._identify,
            "ListMetadataFormats": self._formats,
            "ListSets": self._sets,
            "GetRecord": self._get,
        }

    async def answer(self, request: Request) -> Response:
        """Answer a request by GET or POST; what is wrong with it is an answer too (section 3.6)."""
        base = base_url(request, self._settings)
        try:
            asked = read_request(await _arguments(request))
            if asked.verb in ("ListRecords", "ListIdentifiers"):
                return await self._list(asked, base)
            document = frame(f"{base}/oai", {"verb": asked.verb} | asked.arguments)
            await self._verbs[asked.verb](asked, document, base)
        except OaiError as error:
            document = error_document(f"{base}/oai", error)
        return xml(serialise(document))

    async def _identify(self, asked: OaiRequest, document: Element, base: str) -> None:
        stamp, first = await self._records.read(lambda c: (read_stamp(c, REGISTRY), earliest(c)))
        own = None if stamp is None else await self._records.record(stamp, base, {})
        if own is None:
            raise ServiceError("The registry has no record of itself; has another service emptied its table?")
        add_identify(
            document,
            name=self._settings.title,
            base_url=f"{base}/oai",
            email=admin_email(self._settings),
            earliest=first,
            own=own,
        )

    async def _formats(self, asked: OaiRequest, document: Element, base: str) -> None:
        if "identifier" in asked.arguments:
            await self._find(asked)
        add_formats(document)

    async def _sets(self, asked: OaiRequest, document: Element, base: str) -> None:
        if "resumptionToken" in asked.arguments:
            raise asked.error("badResumptionToken", "The list of sets is given whole, without tokens")
        add_sets(document)

    async def _get(self, asked: OaiRequest, document: Element, base: str) -> None:
        stamp = await self._find(asked)
        prefix = checked_prefix(asked)
        await self._fill(put(put(document, "GetRecord"), "record"), stamp, prefix, base)

    async def _find(self, asked: OaiRequest) -> Stamp:
        """The record that an identifier names. Raises OaiError (idDoesNotExist)."""
        name = asked.arguments["identifier"]
        key = key_of(self._settings, name)
        stamp = await self._records.read(lambda c: read_stamp(c, key)) if key is not None else None
        if stamp is None:
            raise asked.error("idDoesNotExist", f"There is no record {name[:200]} here")
        return stamp

    async def _list(self, asked: OaiRequest, base: str) -> Response:
        """A list of records or of their headers."""
        place = read_place(asked)
        limit = self._settings.registry_page_size
        stamps, size = await self._records.read(
            lambda c: (read_stamps(c, place.span, limit + 1), place.size or count_stamps(c, place.span))
        )
        if not stamps and place.cursor > 0:
            raise asked.error("badResumptionToken", "What was left of this list has changed since: ask for it anew")
        if not stamps:
            raise asked.error("noRecordsMatch", "No record has changed in this time")
        more = len(stamps) > limit
        stamps = stamps[:limit]
        document = frame(f"{base}/oai", {"verb": asked.verb} | asked.arguments)
        answer = put(document, asked.verb)
        answer.append(etree.Comment("records"))
        _add_token(answer, replace(place, size=size), stamps, more=more)
        head, _, tail = serialise(document).partition(_PLACE)
        if asked.verb == "ListIdentifiers":
            headers = b"".join(written(self._header(stamp)) for stamp in stamps)
            return xml(head + headers + tail)
        pieces = self._pieces(head, stamps, tail, place.prefix, base)
        # What fails at the first record can still become an error.
        first = await anext(pieces)
        return StreamingResponse(_chained(first, pieces), media_type="text/xml")

    def _header(self, stamp: Stamp) -> Element:
        parent = detached_record()
        self._add_header(parent, stamp, deleted=not self._records.is_there(stamp))
        return parent[0]

    async def _pieces(
        self, head: bytes, stamps: Sequence[Stamp], tail: bytes, prefix: str, base: str
    ) -> AsyncIterator[bytes]:
        coverages = await self._records.coverages(stamps)
        written_so_far = head
        for stamp in stamps:
            element = detached_record()
            await self._fill(element, stamp, prefix, base, coverages)
            yield written_so_far + written(element)
            written_so_far = b""
        yield written_so_far + tail

    async def _fill(
        self, element: Element, stamp: Stamp, prefix: str, base: str, coverages: Mapping[str, Coverage] | None = None
    ) -> None:
        """Append header and, unless the record is deleted, metadata."""
        if coverages is None:
            coverages = await self._records.coverages([stamp])
        record = await self._records.record(stamp, base, coverages)
        self._add_header(element, stamp, deleted=record is None)
        if record is not None:
            add_metadata(element, record, prefix)

    def _add_header(self, parent: Element, stamp: Stamp, *, deleted: bool) -> None:
        add_header(parent, identifier(self._settings, stamp.key), stamp.datestamp, deleted=deleted)


def oai_error(error: Exception) -> Response:
    """What OAI-PMH has no code for: the HTTP status tells (section 3.1.2.2)."""
    status = error.status if isinstance(error, ServiceError) else 500
    headers = error.headers() if isinstance(error, ServiceError) else {}
    return PlainTextResponse(f"{message_of(error)}\n", status, headers)


def admin_email(settings: Settings) -> str:
    """The address that Identify must give; where none is configured, one that says so."""
    if settings.contact_email and _EMAIL.fullmatch(settings.contact_email):
        return settings.contact_email
    return "VO_SERVICE_CONTACT_EMAIL@is-not-set.invalid"


async def _arguments(request: Request) -> Sequence[tuple[str, str]]:
    try:
        return (await read_parameters(request)).pairs
    except UsageError as error:
        raise OaiError("badArgument", error.message) from None


def _add_token(answer: Element, place: Place, stamps: Sequence[Stamp], *, more: bool) -> None:
    """The token to go on with; at the end of a list that was given in parts an empty one (section 3.5)."""
    if not more and place.cursor == 0:
        return
    counts = {"cursor": str(place.cursor), "completeListSize": str(place.size)}
    if not more:
        put(answer, "resumptionToken", **counts)
        return
    last = stamps[-1]
    span = replace(place.span, after=(last.datestamp, last.key))
    put(answer, "resumptionToken", write_token(replace(place, span=span, cursor=place.cursor + len(stamps))), **counts)


async def _chained(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece
