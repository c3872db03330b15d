"""The records of the service itself: the authority, the organisation behind it, the registry, TAP, the alert stream."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from registry_records.names import AUTHORITY, ORGANISATION, REGISTRY, STREAM, TAP, identifier
from registry_records.record import Dates, Record, Relation
from vo_service.addresses import host_and_port
from vo_service.catalog.model import Catalog, Person, Resource
from vo_service.config import Settings
from vo_service.vosi.capabilities import Capability, SimpleCapability
from vo_service.vosi.documents import Element, add
from vo_service.vosi.tables import fill_tableset

VIRTUAL_OBSERVATORIES: Final = "virtual-observatories"
"""The concept of the Unified Astronomy Thesaurus for what is about no part of the sky."""

ALERTS: Final = "alerts"
"""The schema in which the events of the stream are kept."""


def about_service(settings: Settings) -> Resource:
    """Who publishes, as far as the settings tell."""
    publisher = settings.publisher or settings.title
    contact = Person(settings.contact_name or publisher, email=settings.contact_email)
    return Resource(
        settings.title, publisher=publisher, contact=contact, subjects=(VIRTUAL_OBSERVATORIES,), creators=()
    )


def authority(settings: Settings, dates: Dates, base: str) -> Record:
    """That the authority is ours (Registry Interfaces 1.1, section 3.1.2)."""
    about = about_service(settings)

    def tail(element: Element) -> None:
        add(element, "managingOrg", about.publisher, ivo_id=identifier(settings, ORGANISATION))

    return Record(
        identifier(settings, AUTHORITY),
        "vg:Authority",
        f"{settings.title}: authority {settings.authority}",
        f"The authority under which {about.publisher} names what it publishes with the service {settings.title}.",
        about,
        f"{base}/",
        dates,
        tail=tail,
    )


def organisation(settings: Settings, dates: Dates, base: str) -> Record:
    """Who publishes."""
    about = about_service(settings)
    name = f"{about.publisher}"
    return Record(
        identifier(settings, ORGANISATION),
        "vr:Organisation",
        name,
        f"{name} publishes data with the service {settings.title}.",
        about,
        f"{base}/",
        dates,
        content_type="Organisation",
    )


def registry(settings: Settings, dates: Dates, base: str) -> Record:
    """The publishing registry (VORegistry 1.1): also told by Identify."""

    def tail(element: Element) -> None:
        add(element, "full", "false")
        add(element, "managedAuthority", settings.authority)

    address = f"{base}/oai"
    return Record(
        identifier(settings, REGISTRY),
        "vg:Registry",
        f"{settings.title}: publishing registry",
        f"Gives the records of what {settings.title} publishes to harvesters, by OAI-PMH 2.0.",
        about_service(settings),
        f"{base}/",
        dates,
        content_type="Registry",
        capabilities=registry_capabilities(address, settings.registry_page_size),
        tail=tail,
    )


def registry_capabilities(address: str, page_size: int) -> tuple[Capability, ...]:
    """What the registry can do, at its address."""
    return (
        HarvestCapability(address, page_size),
        SimpleCapability("ivo://ivoa.net/std/VOSI#capabilities", f"{address}/capabilities"),
        SimpleCapability("ivo://ivoa.net/std/VOSI#availability", f"{address}/availability"),
    )


@dataclass(frozen=True, slots=True)
class HarvestCapability:
    """That a registry can be harvested (VORegistry 1.1, section 2.1)."""

    url: str
    page_size: int

    def add_to(self, document: Element) -> None:
        capability = add(document, "capability", standardID="ivo://ivoa.net/std/Registry", type_="vg:Harvest")
        interface = add(capability, "interface", type_="vg:OAIHTTP", role="std")
        add(interface, "accessURL", self.url, use="base")
        add(capability, "maxRecords", self.page_size)


def tap_service(
    settings: Settings, catalog: Catalog, dates: Dates, base: str, capabilities: Sequence[Capability]
) -> Record:
    """The TAP service, with all tables."""
    described = [table for table in catalog.tables() if table.resource is not None]

    def tail(element: Element) -> None:
        fill_tableset(add(element, "tableset"), catalog, catalog.schemas, columns=True)

    return Record(
        identifier(settings, TAP),
        "vs:CatalogService",
        f"{settings.title}: TAP service",
        f"Queries in ADQL of all tables that {settings.title} publishes, by the Table Access Protocol.",
        about_service(settings),
        f"{base}/",
        dates,
        content_type="Catalog",
        relations=tuple(
            Relation("IsServiceFor", table.full_name, identifier(settings, f"{table.schema}/{table.name}"))
            for table in described
        ),
        capabilities=capabilities,
        tail=tail if any(schema.tables for schema in catalog.schemas) else lambda _: None,
    )


@dataclass(frozen=True, slots=True)
class StreamCapability:
    """That a stream of events can be followed by VTP (VOEvent 2.1, VOEventRegExt 2.0)."""

    url: str

    def add_to(self, document: Element) -> None:
        capability = add(document, "capability", standardID="ivo://ivoa.net/std/voevent")
        interface = add(
            capability,
            "interface",
            type_="voe:StreamEndpoint",
            role="std",
            standardID="ivo://ivoa.net/std/voevent#acc-vtp",
        )
        add(interface, "accessURL", self.url, use="full")


@dataclass(frozen=True, slots=True)
class PageCapability:
    """That there is a page for people."""

    url: str

    def add_to(self, document: Element) -> None:
        interface = add(add(document, "capability"), "interface", type_="vr:WebBrowser")
        add(interface, "accessURL", self.url, use="full")


def _broker(settings: Settings, base: str) -> tuple[Capability, ...]:
    """The broker, unless it listens where nobody else than this machine can reach it, or at any free port."""
    host = urlsplit(base).hostname or ""
    if settings.voevent_subscriber_port == 0 or (_is_local(settings.voevent_host) and not _is_local(host)):
        return ()
    return (StreamCapability(f"vtp://{host_and_port(host, settings.voevent_subscriber_port)}"),)


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def stream(settings: Settings, catalog: Catalog, dates: Dates, base: str, capabilities: Sequence[Capability]) -> Record:
    """The stream of our alerts, with the tables that keep them."""
    kept = [schema for schema in catalog.schemas if schema.name == ALERTS]

    def tail(element: Element) -> None:
        fill_tableset(add(element, "tableset"), catalog, kept, columns=True)

    return Record(
        identifier(settings, STREAM),
        "vs:CatalogService",
        f"{settings.title}: alerts",
        f"The stream of VOEvents that {settings.title} publishes, and the archive of all events that it has received.",
        about_service(settings),
        f"{base}/voevent",
        dates,
        relations=(Relation("IsServedBy", f"{settings.title}: TAP service", identifier(settings, TAP)),),
        capabilities=(*_broker(settings, base), PageCapability(f"{base}/voevent"), *capabilities),
        tail=tail if kept else lambda _: None,
    )
