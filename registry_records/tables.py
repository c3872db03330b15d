"""The record of a published table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from registry_records.names import TAP, identifier, table_key
from registry_records.record import Dates, Record, Relation
from registry_records.services import VIRTUAL_OBSERVATORIES, about_service
from vo_service.catalog.model import Catalog, Resource, Table
from vo_service.config import Settings
from vo_service.coverage.documents import moc_ascii
from vo_service.coverage.model import Coverage, degrade
from vo_service.coverage.routes import moc_path
from vo_service.vosi.capabilities import Capability
from vo_service.vosi.documents import Element, add
from vo_service.vosi.tables import fill_tableset

COVERAGE_ORDER: Final = 6
"""Deepest order of the MOC in a record: about a degree (VODataService 1.2, section 3.2). `/moc` has it in full."""


def landing_page(table: Table, base: str) -> str:
    """The address of the page about a table as a resource, which a DOI may lead to."""
    return f"{base}/resource/{table.path}"


def about_table(table: Table, settings: Settings) -> Resource:
    """The description of a table as a resource, with what the settings say where the publisher says nothing."""
    service = about_service(settings)
    about = table.resource or Resource("")
    return replace(
        about,
        title=about.title or table.full_name,
        publisher=about.publisher or service.publisher,
        contact=about.contact or service.contact,
        subjects=about.subjects or (VIRTUAL_OBSERVATORIES,),
    )


def table_record(
    table: Table,
    settings: Settings,
    catalog: Catalog,
    dates: Dates,
    base: str,
    *,
    capabilities: Sequence[Capability] = (),
    coverage: Coverage | None = None,
) -> Record:
    """The record of a table: of a service if it has one of its own (cone search), else of data that TAP serves."""
    about = about_table(table, settings)

    def tail(element: Element) -> None:
        _add_coverage(element, coverage or Coverage(), about, f"{base}/{moc_path(table)}")
        schema = next(schema for schema in catalog.schemas if schema.name == table.schema)
        fill_tableset(add(element, "tableset"), catalog, [replace(schema, tables=(table,))], columns=True)

    return Record(
        identifier(settings, table_key(table)),
        "vs:CatalogResource" if table.position is None else "vs:CatalogService",
        about.title if about.title == table.full_name else f"{about.title} ({table.full_name})",
        "\n\n".join(dict.fromkeys(filter(None, (table.description, about.description)))) or about.title,
        about,
        about.reference_url or landing_page(table, base),
        dates,
        content_type="Simulation" if about.simulated else "Catalog",
        short_name=table.name,
        relations=(Relation("IsServedBy", f"{settings.title}: TAP service", identifier(settings, TAP)),),
        has_rights=True,
        capabilities=capabilities,
        tail=tail,
    )


def _add_coverage(parent: Element, coverage: Coverage, about: Resource, moc: str) -> None:
    """Where, when and at which energies there are data (VODataService 1.2, section 3.2); `moc` is the map in full."""
    element = add(parent, "coverage")
    if coverage.space is not None:
        add(element, "spatial", moc_ascii(degrade(coverage.space, min(COVERAGE_ORDER, coverage.space.order))))
    for name, interval in (("temporal", coverage.interval), ("spectral", coverage.joules)):
        if interval is not None:
            add(element, name, f"{interval[0]!r} {interval[1]!r}")
    if coverage.space is not None:
        add(element, "footprint", moc, ivo_id="ivo://ivoa.net/std/moc")
    for messenger in about.waveband:
        add(element, "waveband", messenger)
    if len(element) == 0:
        parent.remove(element)
