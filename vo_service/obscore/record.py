"""An event list as a row of ivoa.obscore and ivoa.obscore_hea: from its description and from what it covers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

import hpgeom
import numpy as np

from vo_service.catalog.model import Observation, Resource, Table
from vo_service.coverage.axes import axes_of
from vo_service.coverage.cells import SPACE_BITS, cells_by_order
from vo_service.coverage.documents import moc_ascii
from vo_service.coverage.model import Coverage, SpaceTimeMoc, TimeMoc, degrade
from vo_service.dali.links import LINKS_TYPE
from vo_service.sky.angles import unit_vectors
from vo_service.sky.healpix import ORDER
from vo_service.sky.moc import Moc

Record = dict[str, object]
"""Values by column name; unknown ones are left out."""

REGION_CELLS: Final = 400
"""Cells that s_region has at most: a line that one can still send about. The full MOC has an address of its own."""

CALIBRATED: Final = 2
"""Level of calibration where the publisher does not say: event lists in sky coordinates and physical units."""

NO_AXIS: Final = -1
"""Length of axes that are none of pixels (ObsCore 1.1, section 3.3.1.1)."""

_MESSENGERS: Final = {"Neutrino": "neutrino"}
"""Names of the extension for terms of the IVOA vocabulary; all others are bands of photons."""

_NOT_OBSERVED: Final = ("meta.", "stat.", "src.", "obs.", "instr.")
"""Beginnings of UCDs of columns that tell of the event's record, not of what was measured."""


def event_list_record(table: Table, coverage: Coverage, kilobytes: int) -> Record:
    """What the two tables say of an event list, but for its identifier and the address of its links."""
    resource = table.resource or Resource(table.description)
    record = {
        "dataproduct_type": "event",
        "dataproduct_subtype": "hea-event-list",
        "calib_level": CALIBRATED,
        "obs_collection": table.schema,
        "obs_id": f"{table.schema}/{table.name}",
        "obs_title": ": ".join(filter(None, (resource.title, table.description))) or table.full_name,
        "obs_creator_name": "; ".join(person.name for person in resource.creators) or None,
        "bib_reference": resource.doi,
        "data_rights": "public",
        "access_format": LINKS_TYPE,
        "access_estsize": kilobytes,
        "o_ucd": "#".join(_observables(table)) or None,
        "em_ucd": energy.column.ucd if (energy := axes_of(table).energy) else None,
        **dict.fromkeys(("s_xel1", "s_xel2", "t_xel", "em_xel", "pol_xel"), NO_AXIS),
        "ev_xel": table.rows,
        "messenger_name": _messenger(resource),
        **_covered(coverage),
        **_said(resource.obscore),
    }
    return {name: value for name, value in record.items() if value is not None}


def _said(observation: Observation) -> Record:
    return {name: value for name, value in asdict(observation).items() if value is not None}


def _messenger(resource: Resource) -> str | None:
    names = {_MESSENGERS.get(term, "photon") for term in resource.waveband}
    return names.pop() if len(names) == 1 else None


def _observables(table: Table) -> Iterator[str]:
    """The UCDs of what was measured of each event, each once."""
    ucds = (re.sub(r";meta\.main$", "", column.ucd) for column in table.columns if column.ucd)
    return iter(dict.fromkeys(ucd for ucd in ucds if not ucd.startswith(_NOT_OBSERVED)))


def _covered(coverage: Coverage) -> Record:
    record: Record = {}
    if coverage.space is not None and coverage.space.ranges:
        record |= _footprint(_region(coverage.space))
    if coverage.interval is not None:
        record |= {"t_min": coverage.interval[0], "t_max": coverage.interval[1]}
    if coverage.space_time is not None and coverage.space_time.slices:
        record["t_intervals"] = moc_ascii(_times(coverage.space_time))
    if coverage.energies is not None and coverage.wavelengths is not None:
        record |= {"em_min": coverage.wavelengths[0], "em_max": coverage.wavelengths[1]}
        record |= {"energy_min": coverage.energies[0], "energy_max": coverage.energies[1]}
    return record


def _times(moc: SpaceTimeMoc) -> TimeMoc:
    """The times alone: few and long enough to be read by people."""
    return TimeMoc(tuple(span for part in moc.slices for span in part.time), moc.time_order)


def _region(moc: Moc) -> Moc:
    """The MOC at the deepest order at which it has few enough cells."""
    while sum(map(len, cells_by_order(moc.ranges, ORDER, SPACE_BITS, moc.order).values())) > REGION_CELLS:
        moc = degrade(moc, moc.order - 1)
    return moc


def _footprint(region: Moc) -> Record:
    """The region, and the circle around its middle that holds it."""
    ra, dec, reach = _circle(region)
    return {"s_region": moc_ascii(region), "s_ra": ra, "s_dec": dec, "s_fov": min(2 * reach, 360.0)}


def _circle(region: Moc) -> tuple[float, float, float]:
    """Centre [deg] and radius [deg]; not the smallest circle, but one that holds every cell."""
    shift = 2 * (ORDER - region.order)
    cells = np.concatenate([np.arange(first >> shift, last >> shift) for first, last in region.ranges])
    nside = 1 << region.order
    vectors = unit_vectors(*hpgeom.pixel_to_angle(nside, cells, nest=True))
    x, y, z = vectors.mean(axis=0)
    ra, dec = float(np.degrees(np.arctan2(y, x)) % 360), float(np.degrees(np.arctan2(z, np.hypot(x, y))))
    farthest = np.degrees(np.arccos(np.clip(vectors @ unit_vectors(ra, dec), -1, 1).min()))
    return ra, dec, min(float(farthest) + float(hpgeom.max_pixel_radius(nside)), 180.0)
