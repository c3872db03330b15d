"""The service descriptor of a table's cut-outs: which parameters there are, and in which ranges they find something."""

from __future__ import annotations

from collections.abc import Iterator

from vo_service.catalog.model import Statistics, Table
from vo_service.coverage.axes import PLANCK_TIMES_LIGHT, EnergyAxis, TimeAxis, axes_of
from vo_service.formats.registry import FORMATS
from vo_service.formats.services import InputParameter, ServiceDescriptor

SODA = "ivo://ivoa.net/std/SODA#sync-1.0"


def cutout_service(table: Table, url: str, dataset: str, identifier: str) -> ServiceDescriptor:
    """The service at `url` that cuts the data set called `dataset`; `identifier` is the XML ID of its description."""
    axes = axes_of(table)
    parameters = [InputParameter("ID", value=dataset, ucd="meta.id;meta.main", description="The event list to cut")]
    if axes.position is not None:
        parameters += _region()
    if axes.time is not None:
        parameters.append(_time(axes.time))
    if axes.energy is not None:
        parameters += _energy(axes.energy)
    return ServiceDescriptor(
        name=f"cut-outs of {table.full_name}",
        description="Events of a list in a region of the sky, an interval of time, a range of energy",
        url=url,
        standard_id=SODA,
        content_type=FORMATS[0].mime_type,
        identifier=identifier,
        parameters=(*parameters, *_common()),
    )


def _region() -> Iterator[InputParameter]:
    yield InputParameter(
        "CIRCLE", "double", "3", xtype="circle", unit="deg", ucd="pos.outline;obs",
        description="Events within a circle: right ascension, declination, radius (ICRS)",
    )  # fmt: skip
    yield InputParameter(
        "POLYGON", "double", "*", xtype="polygon", unit="deg", ucd="pos.outline;obs",
        description="Events within a polygon: right ascension and declination of each vertex (ICRS)",
    )  # fmt: skip


def _time(axis: TimeAxis) -> InputParameter:
    smallest, largest = _limits(axis.column.statistics if axis.is_mjd else None)
    return InputParameter(
        "TIME", "double", "2", xtype="interval", unit="d", ucd="time.interval;obs.exposure",
        description="Events from one Modified Julian Date to another (UTC)",
        largest=_widest(smallest, largest),
    )  # fmt: skip


def _energy(axis: EnergyAxis) -> Iterator[InputParameter]:
    smallest, largest = _limits(axis.column.statistics)
    yield InputParameter(
        "ENERGY", "double", "2", xtype="interval", unit=axis.column.unit, ucd="phys.energy;stat.interval",
        description="Events of an energy in this range", largest=_widest(smallest, largest),
    )  # fmt: skip
    shortest, longest = (_wavelength(text, axis.ev) for text in (largest, smallest))
    yield InputParameter(
        "BAND", "double", "2", xtype="interval", unit="m", ucd="em.wl;stat.interval",
        description="The same range, as wavelengths of photons of these energies", largest=_widest(shortest, longest),
    )  # fmt: skip


def _common() -> Iterator[InputParameter]:
    yield InputParameter("MAXREC", "long", None, description="Events at most", smallest="0")
    yield InputParameter(
        "RESPONSEFORMAT", ucd="meta.code.mime", description="Format of the event list",
        options=tuple(format_.mime_type for format_ in FORMATS),
    )  # fmt: skip


def _limits(known: Statistics | None) -> tuple[str | None, str | None]:
    """The smallest and the largest value of a column."""
    return (None, None) if known is None else (known.smallest, known.largest)


def _widest(low: str | None, high: str | None) -> str | None:
    """The widest interval of interest, which is how the domain of an interval is told (SODA 1.0, section 4.3)."""
    return None if low is None or high is None else f"{low} {high}"


def _wavelength(energy: str | None, ev: float) -> str | None:
    if energy is None or float(energy) <= 0:
        return None
    return repr(PLANCK_TIMES_LIGHT / (float(energy) * ev))
