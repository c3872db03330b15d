"""The addresses of the registry and of the pages about resources."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from registry_records.landing import Landing
from registry_records.oai import Oai, oai_error
from registry_records.records import Records
from registry_records.services import registry_capabilities
from vo_service.dali.endpoints import READ_OR_POST, base_url, endpoint, xml
from vo_service.vosi.availability import availability_now
from vo_service.vosi.capabilities import capabilities_document


def routes(records: Records) -> Sequence[BaseRoute]:
    """All addresses below `/oai` and `/resource`."""
    context, settings = records.context, records.settings

    async def capabilities(request: Request) -> Response:
        address = f"{base_url(request, settings)}/oai"
        return xml(capabilities_document(registry_capabilities(address, settings.registry_page_size)))

    async def availability(request: Request) -> Response:
        return xml(await availability_now(context))

    return [
        endpoint("/oai", Oai(records).answer, READ_OR_POST, on_error=oai_error),
        endpoint("/oai/capabilities", capabilities),
        endpoint("/oai/availability", availability),
        endpoint("/resource/{schema}/{table}", Landing(records).answer, on_error=oai_error),
    ]
