"""ObsCore 1.1 and its high-energy extension, if TAP has them: columns, and that the data are there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vo_service.validation.client import ask
from vo_service.validation.documents import Element, text_of
from vo_service.validation.findings import Area, Finding, expected
from vo_service.validation.site import Site

AREA: Final = Area("obscore")

OBSCORE: Final = """
    dataproduct_type:char calib_level:int obs_collection:char obs_id:char obs_publisher_did:char access_url:char
    access_format:char access_estsize:long:kbyte target_name:char s_ra:double:deg s_dec:double:deg s_fov:double:deg
    s_region:char s_resolution:double:arcsec s_xel1:long s_xel2:long t_min:double:d t_max:double:d t_exptime:double:s
    t_resolution:double:s t_xel:long em_min:double:m em_max:double:m em_res_power:double em_xel:long o_ucd:char
    pol_states:char pol_xel:long facility_name:char instrument_name:char
"""
"""Mandatory columns with datatype and unit (ObsCore 1.1, table 1 and appendix B)."""

OBSCORE_HEA: Final = """
    obs_publisher_did:char ev_xel:long s_ref_energy:double:eV em_ref_energy:double:eV s_ref_oaa:double:deg
    em_ref_oaa:double:deg t_intervals:char energy_min:double:eV energy_max:double:eV obs_mode:char tracking_mode:char
    scan_mode:char pointing_mode:char analysis_mode:char event_type:char messenger_name:char messenger_pdgid:char
"""
"""Columns of the high-energy extension (Proposed Endorsed Note 1.0, 2026-08-03, table 1)."""

_TABLES: Final = (("ivoa.obscore", OBSCORE), ("ivoa.obscore_hea", OBSCORE_HEA))

_LIKE: Final = {"unicodeChar": "char"}


def check_obscore(site: Site) -> Iterator[Finding]:
    """All of it."""
    for table, columns in _TABLES:
        yield from AREA.guarded(_table(site, table, columns))


def _table(site: Site, table: str, wanted: str) -> Iterator[Finding]:
    columns = site.columns(table)
    if columns is None:
        yield AREA.skipped(table, f"TAP at {site.tap} has no such table")
        return
    words = wanted.split()
    for word in words:
        name, kind, unit = (*word.split(":"), "")[:3]
        if (column := columns.get(name)) is None:
            yield AREA.error(f"{table}.{name}", "expected this mandatory column, found none")
        elif (found := _kind(column)) != (kind, unit):
            yield AREA.error(f"{table}.{name}", f"expected datatype and unit {kind} {unit}, found {' '.join(found)}")
    yield AREA.checked(len(words), f"columns of {table}")
    yield from _rows(site, table, "access_url" in columns)


def _kind(column: Element) -> tuple[str, str]:
    kind = text_of(column, "dataType").removeprefix("adql:")
    return _LIKE.get(kind, kind), text_of(column, "unit")


def _rows(site: Site, table: str, has_access: bool) -> Iterator[Finding]:
    rows = list(site.sample(table).rows())
    if not rows:
        yield AREA.warning(table, "expected at least one row, found none")
        return
    if not rows[0].get("obs_publisher_did"):
        yield AREA.error(table, "expected an obs_publisher_did in each row, found none")
    if not has_access:
        return
    url = str(rows[0].get("access_url") or "")
    status = ask(url, largest=1).status
    yield AREA.checked(1, f"access_url of {table}")
    if status >= 400:
        raise expected(url, "an answer from this access_url", f"status {status}")
