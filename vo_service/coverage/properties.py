"""What a MOC server collects of a table: keys and values in the form of HiPS properties (HiPS 1.0, section 4.4.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vo_service.catalog.identifiers import ivoid, table_ivoid
from vo_service.catalog.model import Resource, Table
from vo_service.config import Settings
from vo_service.coverage.model import Coverage

_REGIMES = {"Millimeter": "Radio"}
"""Names that the key obs_regime has for terms of the IVOA vocabulary of messengers, where they are others."""


def properties_document(table: Table, coverage: Coverage, settings: Settings, base: str, path: str) -> str:
    """The file; `base` is the address of the service, `path` that of the MOC below it."""
    pairs = (
        *_identity(table, settings),
        *_of_resource(table.resource or Resource(table.description)),
        *_of_coverage(coverage),
        *_addresses(table, base, path),
    )
    return "".join(f"{key:<21}= {_one_line(value)}\n" for key, value in pairs if value not in (None, ""))


Pairs = Iterable[tuple[str, object]]


def _identity(table: Table, settings: Settings) -> Pairs:
    yield "ID", table_ivoid(settings.authority, table).removeprefix("ivo://")
    yield "publisher_did", table_ivoid(settings.authority, table)
    yield "publisher_id", ivoid(settings.authority)
    yield "obs_collection", table.schema
    yield "obs_label", table.full_name
    yield "dataproduct_type", "catalog"
    if table.counted_rows is not None:
        yield "nb_rows", table.counted_rows


def _of_resource(resource: Resource) -> Iterator[tuple[str, object]]:
    yield "obs_title", resource.title
    yield "obs_description", resource.description
    yield "prov_progenitor", resource.reference_url
    yield "bib_reference", resource.doi
    yield "obs_ack", resource.citation
    yield "obs_copyright", resource.license
    yield "obs_copyright_url", resource.license_url
    yield "obs_release_date", resource.date
    yield from (("obs_creator_name", person.name) for person in resource.creators)
    yield from (("obs_regime", _REGIMES.get(term, term)) for term in resource.waveband)
    yield "obs_instrument", resource.obscore.instrument_name
    yield "obs_facility", resource.obscore.facility_name


def _of_coverage(coverage: Coverage) -> Iterator[tuple[str, object]]:
    if coverage.space is not None:
        yield "moc_type", "smoc"
        yield "moc_order", coverage.space.order
        yield "moc_sky_fraction", f"{coverage.sky_fraction:.6g}"
        yield "hips_frame", "equatorial"
    if coverage.time is not None:
        yield "moc_time_order", coverage.time.order
    if coverage.interval is not None:
        yield "t_min", f"{coverage.interval[0]:.9g}"
        yield "t_max", f"{coverage.interval[1]:.9g}"
    if coverage.wavelengths is not None:
        yield "em_min", f"{coverage.wavelengths[0]:.6g}"
        yield "em_max", f"{coverage.wavelengths[1]:.6g}"


def _addresses(table: Table, base: str, path: str) -> Iterator[tuple[str, object]]:
    yield "moc_access_url", f"{base}/{path}"
    if table.position is not None:
        yield "cs_service_url", f"{base}/scs/{table.path}?"
    yield "tap_service_url", f"{base}/tap"
    yield "tap_tablename", table.full_name


def _one_line(value: object) -> str:
    return " ".join(str(value).split())
