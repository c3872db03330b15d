"""Coverage in space of tables with a cone search: the MOC that their records point to (MOC 2.0)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from vo_service.sky.healpix import hpx
from vo_service.validation.client import document
from vo_service.validation.documents import text_of
from vo_service.validation.findings import Area, Finding, expected
from vo_service.validation.site import Record, Site

AREA: Final = Area("moc")

CONE_SEARCH: Final = "ivo://ivoa.net/std/ConeSearch"

_ORDER: Final = 29


def check_moc(site: Site) -> Iterator[Finding]:
    """All of it."""
    yield from AREA.guarded(_mocs(site))


def _mocs(site: Site) -> Iterator[Finding]:
    number = 0
    for record in site.records:
        if record.address_of(CONE_SEARCH) is None:
            continue
        footprints = [(one.text or "").strip() for one in record.resource.iterfind("coverage/footprint")]
        if not footprints and record.resource.find("capability/testQuery") is not None:
            yield AREA.warning(record.identifier, "expected a footprint in its coverage, found none")
        for url in footprints:
            number += 1
            yield from AREA.guarded(_moc(record, url))
    yield AREA.checked(number, "MOCs of tables with a cone search")


def _moc(record: Record, url: str) -> Iterator[Finding]:
    header, cells = _read(url)
    stated = header.get("MOCORD_S", header.get("MOCORDER"))
    orders = np.log2(np.maximum(cells // 4, 1)).astype(np.int64) // 2
    if not isinstance(stated, int):
        raise expected(url, "an order, MOCORD_S or MOCORDER", stated)
    # Without cells it is that of a table without rows, which has no test query either.
    if len(cells) > 0 and (cells.min() < 4 or orders.max() > stated):
        found = f"{len(cells)} cells of orders {sorted(set(orders.tolist()))}"
        raise expected(url, f"cells of orders up to {stated}", found)
    for query in record.resource.iterfind("capability/testQuery"):
        position = " ".join(text_of(query, name) for name in ("ra", "dec"))
        if not _contains(cells, orders, position):
            yield AREA.error(url, f"expected the position {position} of the test query of {record.identifier} inside")


def _read(url: str) -> tuple[Any, NDArray[np.int64]]:
    """The header and the cells, in NUNIQ, of a MOC in space. Raises BrokenError."""
    content = document(url, accept="application/fits").body
    try:
        with fits.open(io.BytesIO(content)) as hdus:
            cells = np.asarray(hdus[1].data.field(0), dtype=np.int64)
            return hdus[1].header, cells
    # astropy raises many kinds.
    except Exception as error:
        raise expected(url, "a MOC in FITS that astropy reads", repr(error)) from None


def _contains(cells: NDArray[np.int64], orders: NDArray[np.int64], position: str) -> bool:
    """Whether a position, right ascension and declination [deg, ICRS], lies in one of the cells."""
    try:
        ra, dec = (float(word) for word in position.split())
    except ValueError:
        return False
    if not (0 <= ra <= 360 and -90 <= dec <= 90):
        return False
    there = int(hpx(ra, dec))
    return bool(np.any(there >> (2 * (_ORDER - orders)) == cells - 4 * 4**orders))
