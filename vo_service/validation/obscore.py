"""ObsCore 1.1 and its high-energy extension, if TAP has them: columns, what stands in all rows, and the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from vo_service.validation.client import ask
from vo_service.validation.documents import Element, text_of
from vo_service.validation.findings import Area, Finding, expected
from vo_service.validation.site import Site

AREA: Final = Area("obscore")

_POSITION = "Char.SpatialAxis.Coverage.Location.Coord.Position2D.Value2"
_TIMES = "Char.TimeAxis.Coverage.Bounds.Limits"
_WAVES = "Char.SpectralAxis.Coverage.Bounds.Limits"

OBSCORE: Final = f"""
    dataproduct_type  char         meta.code.class            ObsDataset.dataProductType
    calib_level       int          meta.code;obs.calib        ObsDataset.calibLevel
    obs_collection    char         meta.id                    DataID.Collection
    obs_id            char         meta.id                    DataID.observationID
    obs_publisher_did char         meta.ref.ivoid|meta.ref.uri;meta.curation  Curation.PublisherDID
    access_url        char         meta.ref.url               Access.Reference
    access_format     char         meta.code.mime             Access.Format
    access_estsize    long:kbyte   phys.size;meta.file        Access.Size
    target_name       char         meta.id;src                Target.Name
    s_ra              double:deg   pos.eq.ra                  {_POSITION}.C1
    s_dec             double:deg   pos.eq.dec                 {_POSITION}.C2
    s_fov             double:deg   phys.angSize;instr.fov     Char.SpatialAxis.Coverage.Bounds.Extent.diameter
    s_region          char         pos.outline;obs.field      Char.SpatialAxis.Coverage.Support.Area
    s_resolution      double:arcsec pos.angResolution         Char.SpatialAxis.Resolution.Refval.value
    s_xel1            long         meta.number                Char.SpatialAxis.numBins1
    s_xel2            long         meta.number                Char.SpatialAxis.numBins2
    t_min             double:d     time.start;obs.exposure    {_TIMES}.StartTime
    t_max             double:d     time.end;obs.exposure      {_TIMES}.StopTime
    t_exptime         double:s     time.duration;obs.exposure Char.TimeAxis.Coverage.Support.Extent
    t_resolution      double:s     time.resolution            Char.TimeAxis.Resolution.Refval.value
    t_xel             long         meta.number                Char.TimeAxis.numBins
    em_min            double:m     em.wl;stat.min             {_WAVES}.LoLimit
    em_max            double:m     em.wl;stat.max             {_WAVES}.HiLimit
    em_res_power      double       spect.resolution           Char.SpectralAxis.Resolution.ResolPower.refVal
    em_xel            long         meta.number                Char.SpectralAxis.numBins
    o_ucd             char         meta.ucd                   Char.ObservableAxis.ucd
    pol_states        char         meta.code;phys.polarization Char.PolarizationAxis.stateList
    pol_xel           long         meta.number                Char.PolarizationAxis.numBins
    facility_name     char         meta.id;instr.tel          Provenance.ObsConfig.Facility.name
    instrument_name   char         meta.id;instr              Provenance.ObsConfig.Instrument.name
"""
"""Mandatory columns: datatype with unit, UCD (either where the standard has two), utype (ObsCore 1.1, table 6)."""

OBSCORE_HEA: Final = """
    obs_publisher_did char
    ev_xel long
    s_ref_energy double:eV
    em_ref_energy double:eV
    s_ref_oaa double:deg
    em_ref_oaa double:deg
    t_intervals char
    energy_min double:eV
    energy_max double:eV
    obs_mode char
    tracking_mode char
    scan_mode char
    pointing_mode char
    analysis_mode char
    event_type char
    messenger_name char
    messenger_pdgid char
"""
"""Columns of the high-energy extension (Proposed Endorsed Note 1.0, 2026-08-03, table 1)."""

PRODUCT_TYPES: Final = ("image", "cube", "spectrum", "sed", "timeseries", "visibility", "event", "measurements")
"""Of dataproduct_type, which may also be NULL (ObsCore 1.1, section 3.3.1)."""

NOT_NULL: Final = ("calib_level", "obs_collection", "obs_id", "obs_publisher_did")
"""Columns in which each row has a value (ObsCore 1.1, table 5)."""

_OBSCORE: Final = "ivoa.obscore"
_HEA: Final = "ivoa.obscore_hea"

_LIKE: Final = {"unicodeChar": "char"}


def check_obscore(site: Site) -> Iterator[Finding]:
    """All of it."""
    yield from AREA.guarded(_table(site, _OBSCORE, OBSCORE, _values))
    yield from AREA.guarded(_table(site, _HEA, OBSCORE_HEA, _keys))


def _table(site: Site, table: str, wanted: str, rows: Callable[[Site], Iterator[Finding]]) -> Iterator[Finding]:
    columns = site.columns(table)
    if columns is None:
        yield AREA.skipped(table, f"TAP at {site.tap} has no such table")
        return
    lines = wanted.strip().splitlines()
    missing = False
    for line in lines:
        name, *rest = line.split()
        if (column := columns.get(name)) is None:
            missing = True
            yield AREA.error(f"{table}.{name}", "expected this mandatory column, found none")
        else:
            yield from _column(f"{table}.{name}", column, *rest)
    yield AREA.checked(len(lines), f"columns of {table}")
    yield from AREA.guarded(_data(site, table, has_access="access_url" in columns))
    if missing:
        yield AREA.skipped(table, "rows not looked at: columns are missing")
    else:
        yield from rows(site)


def _column(address: str, column: Element, kind: str, ucd: str = "", utype: str = "") -> Iterator[Finding]:
    """What is wrong with a column. UCDs and utypes are the same in any case; utypes have a prefix or none."""
    datatype, _, unit = kind.partition(":")
    if (found := _kind(column)) != (datatype, unit):
        yield AREA.error(address, f"expected datatype and unit {datatype} {unit}, found {' '.join(found)}")
    own = text_of(column, "ucd")
    if ucd and own.lower() not in ucd.lower().split("|"):
        yield AREA.error(address, f"expected the UCD {ucd.replace('|', ' or ')}, found {own or 'none'}")
    own = text_of(column, "utype")
    if own.lower().removeprefix("obscore:") != utype.lower() and utype:
        yield AREA.error(address, f"expected the utype obscore:{utype}, found {own or 'none'}")


def _kind(column: Element) -> tuple[str, str]:
    kind = text_of(column, "dataType").removeprefix("adql:")
    return _LIKE.get(kind, kind), text_of(column, "unit")


def _data(site: Site, table: str, *, has_access: bool) -> Iterator[Finding]:
    """There are rows, and the data of one of them."""
    rows = list(site.sample(table).rows())
    if not rows:
        yield AREA.warning(table, "expected at least one row, found none")
    elif has_access:
        url = str(rows[0].get("access_url") or "")
        if not url:
            raise expected(f"{table}.access_url", "a URL in the first row", "none")
        status = ask(url, largest=1).status
        yield AREA.checked(1, f"access_url of {table}")
        if status >= 400:
            raise expected(url, "an answer from this access_url", f"status {status}")


def _values(site: Site) -> Iterator[Finding]:
    """What stands in the rows of ivoa.obscore."""
    for name in NOT_NULL:
        blank = "" if name == "calib_level" else f" OR {name} = ''"
        yield from AREA.guarded(_none(site, f"{_OBSCORE} WHERE {name} IS NULL{blank}", name, "a value in each row"))
    outside = f"{_OBSCORE} WHERE calib_level < 0 OR calib_level > 4"
    yield from AREA.guarded(_none(site, outside, "calib_level", "0 to 4"))
    types = ", ".join(f"'{name}'" for name in PRODUCT_TYPES)
    others = f"{_OBSCORE} WHERE dataproduct_type NOT IN ({types})"
    yield from AREA.guarded(_none(site, others, "dataproduct_type", f"one of {types}, or NULL"))
    yield from AREA.guarded(_unique(site, _OBSCORE))


def _keys(site: Site) -> Iterator[Finding]:
    """Each row of ivoa.obscore_hea belongs to one of ivoa.obscore, and to no other row."""
    blank = f"{_HEA} WHERE obs_publisher_did IS NULL OR obs_publisher_did = ''"
    yield from AREA.guarded(_none(site, blank, "obs_publisher_did", "a value in each row"))
    known = f"SELECT * FROM {_OBSCORE} AS o WHERE o.obs_publisher_did = h.obs_publisher_did"  # noqa: S608
    lost = f"{_HEA} AS h WHERE NOT EXISTS ({known})"
    yield from AREA.guarded(_none(site, lost, "obs_publisher_did", f"one of {_OBSCORE} in each row"))
    yield from AREA.guarded(_unique(site, _HEA))


def _none(site: Site, rows: str, column: str, what: str) -> Iterator[Finding]:
    """What is wrong where there are rows, given by what follows FROM."""
    (number,) = _numbers(site, f"SELECT COUNT(*) AS n FROM {rows}")  # noqa: S608 (what follows is ours)
    address = f"{rows.partition(' ')[0]}.{column}"
    yield AREA.checked(1, f"query over all rows for {address}: {what}")
    if number:
        raise expected(address, what, f"{number} rows without: those of {rows}")


def _unique(site: Site, table: str) -> Iterator[Finding]:
    values = "COUNT(obs_publisher_did) AS n, COUNT(DISTINCT obs_publisher_did) AS different"
    number, different = _numbers(site, f"SELECT {values} FROM {table}")  # noqa: S608
    yield AREA.checked(number, f"values of {table}.obs_publisher_did for being unique")
    if number != different:
        raise expected(f"{table}.obs_publisher_did", f"{number} different values in as many rows", different)


def _numbers(site: Site, adql: str) -> list[int]:
    """The row of numbers that answers a query. Raises BrokenError."""
    result = site.query(adql)
    values = [value for row in result.rows() for value in row.values()]
    numbers = [value for value in values if isinstance(value, int)]
    if not values or len(numbers) < len(values):
        raise expected(result.url, "a row of numbers", values)
    return numbers
