"""Sky maps from FITS files: multi-order ones, and flat ones in either order of pixels, packed with gzip or not."""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import hpgeom
import numpy as np
from numpy.typing import NDArray

from vo_service.later import later
from vo_service.sky.healpix import ORDER, PIXELS
from voevent.skymap import Floats, Integers, SkyMap, SkyMapError

if TYPE_CHECKING:
    from astropy.io import fits
else:
    fits = later("astropy.io.fits")

BYTES_LIMIT: Final = 1 << 29
"""Bytes of a table, unpacked: flat maps of nside 1024 with distances have 403 MB."""

_Stream = gzip.GzipFile | io.BytesIO

_FITS_BLOCK: Final = 2880
_HEADER_BLOCKS: Final = 1000
_BLOCK: Final = 4 << 20
"""Bytes of rows that are unpacked at once."""

_EQUATORIAL: Final = frozenset({"C", "CEL", "CELESTIAL", "EQ", "EQUATORIAL", "ICRS"})
_FLAT_NAMES: Final = ("PROB", "PROBABILITY")
_INDEX_NAMES: Final = ("PIX", "PIXEL", "INDEX")
_UNSEEN: Final = -1e30
"""What is below this, HEALPix programs write for "not observed" (-1.6375e30)."""


def read_skymap(raw: bytes) -> SkyMap:
    """The sky map in a FITS file.

    Multi-order maps have the columns UNIQ and PROBDENSITY [1/sr] (LIGO-T2000014), flat ones the probability of each
    pixel in PROB or PROBABILITY, nested or ring (HEALPix primer, with `ORDERING` and `NSIDE`). Maps are normalised.

    Raises SkyMapError.
    """
    packed = raw.startswith(b"\x1f\x8b")
    stream = gzip.GzipFile(fileobj=io.BytesIO(raw)) if packed else io.BytesIO(raw)
    try:
        table = _find_table(stream)
        return _multi_order(table) if "UNIQ" in table.names else _flat(table)
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, fits.VerifyError) as error:
        raise SkyMapError(f"The sky map is no FITS file that can be read: {error}") from None


@dataclass(frozen=True, slots=True)
class _Table:
    """The table of a map: its rows come next in `stream`."""

    header: fits.Header
    names: dict[str, str]
    """Columns as they are called, by name in capitals."""
    row: np.dtype[np.void]
    stream: _Stream

    def columns(self, *names: str) -> list[NDArray[Any]]:
        """Some columns, each as one array of all rows. The rows are read in blocks: others are never kept."""
        parts: list[list[NDArray[Any]]] = [[] for _ in names]
        left = int(self.header["NAXIS2"])
        while left > 0:
            count = min(left, max(1, _BLOCK // self.row.itemsize))
            rows = np.frombuffer(_exactly(self.stream, count * self.row.itemsize), self.row)
            for name, part in zip(names, parts, strict=True):
                part.append(rows[self.names[name]].reshape(-1))
            left -= count
        return [np.concatenate(part) if part else np.empty(0) for part in parts]


def _find_table(stream: _Stream) -> _Table:
    """The first table of the file that is a map in equatorial coordinates."""
    text = _header(stream)
    if not text.startswith(b"SIMPLE  ="):
        raise SkyMapError("Expected a sky map as FITS file: it begins with SIMPLE")
    while text:
        unit = fits.BinTableHDU.fromstring(text) if text.startswith(b"XTENSION= 'BINTABLE'") else None
        if unit is not None and str(unit.header.get("PIXTYPE", "")).strip().upper() == "HEALPIX":
            break
        size = fits.Header.fromstring(text).data_size_padded
        _skip(stream, size)
        text = _header(stream)
    else:
        raise SkyMapError("The file of the sky map has no table with PIXTYPE = 'HEALPIX'")
    header, columns = unit.header, unit.columns
    frame = str(header.get("COORDSYS", "")).strip().upper()
    if frame not in _EQUATORIAL:
        raise SkyMapError(f"The sky map has COORDSYS = {frame!r}; expected 'C', equatorial coordinates")
    row = columns.dtype.newbyteorder(">")
    if header["NAXIS1"] != row.itemsize or row.itemsize * header["NAXIS2"] > BYTES_LIMIT:
        raise SkyMapError(f"The sky map's rows do not fit its header, or are more than {BYTES_LIMIT:,} bytes")
    return _Table(header, {name.upper(): name for name in columns.names}, row, stream)


def _header(stream: _Stream) -> bytes:
    """The header that comes next, whole (FITS 4.0, section 3.3.1); nothing at the end of the file."""
    blocks: list[bytes] = []
    while len(blocks) < _HEADER_BLOCKS:
        block = stream.read(_FITS_BLOCK)
        if len(block) < _FITS_BLOCK:
            return b""
        blocks.append(block)
        if any(block[place : place + 8] == b"END     " for place in range(0, _FITS_BLOCK, 80)):
            return b"".join(blocks)
    raise SkyMapError("The sky map has a header without end")


def _skip(stream: _Stream, size: int) -> None:
    if size > BYTES_LIMIT:
        raise SkyMapError(f"The file of the sky map is larger than {BYTES_LIMIT:,} bytes")
    while size > 0:
        size -= len(_exactly(stream, min(size, _BLOCK)))


def _exactly(stream: _Stream, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise SkyMapError("The sky map's file ends within its table")
    return data


def _multi_order(table: _Table) -> SkyMap:
    if "PROBDENSITY" not in table.names:
        raise SkyMapError("The multi-order sky map has no column PROBDENSITY")
    uniq, densities = table.columns("UNIQ", "PROBDENSITY")
    uniq, density = uniq.astype(np.int64), _values(densities)
    if not ((uniq >= 4) & (uniq < 16 * 4**ORDER)).all():
        raise SkyMapError(f"The sky map has UNIQ numbers of no cell; expected 4 to {16 * 4**ORDER - 1}")
    # uniq = 4 * 4^order + cell (MOC 2.0, section 4.1): the place of its highest bit gives the order. frexp is exact
    # only for what a double holds exactly, so that bits which would round up are cut off first.
    order = (np.frexp((uniq & ~(uniq >> 1)).astype(np.float64))[1] - 3) // 2
    shift = 2 * (ORDER - order.astype(np.int64))
    cell = uniq - (np.int64(4) << (2 * order.astype(np.int64)))
    return SkyMap.from_ranges(cell << shift, ((cell + 1) << shift) - 1, density * 4.0 ** (ORDER - order) / PIXELS)


def _flat(table: _Table) -> SkyMap:
    name = next((name for name in _FLAT_NAMES if name in table.names), None)
    if name is None:
        raise SkyMapError(f"The sky map has none of the columns UNIQ, {', '.join(_FLAT_NAMES)}")
    nside, ring = _scheme(table.header)
    index = next((name for name in _INDEX_NAMES if name in table.names), None)
    if index is not None:
        values, pixels = table.columns(name, index)
        pixels = pixels.astype(np.int64)
    else:
        (values,) = table.columns(name)
        if len(values) != 12 * nside**2:
            raise SkyMapError(f"The sky map has {len(values):,} pixels; expected {12 * nside**2:,} for NSIDE = {nside}")
        pixels = np.flatnonzero(values)
        values = values[pixels]
    if not ((pixels >= 0) & (pixels < 12 * nside**2)).all():
        raise SkyMapError(f"The sky map has pixels that are not in a map of NSIDE = {nside}")
    cells: Integers = hpgeom.ring_to_nest(nside, pixels) if ring else pixels
    shift = 2 * (ORDER - (nside.bit_length() - 1))
    return SkyMap.from_ranges(cells << shift, ((cells + 1) << shift) - 1, _values(values))


def _scheme(header: fits.Header) -> tuple[int, bool]:
    """NSIDE, and whether pixels are numbered in rings."""
    ordering = str(header.get("ORDERING", "")).strip().upper()
    if ordering not in ("NESTED", "NEST", "RING"):
        raise SkyMapError(f"The sky map has ORDERING = {ordering!r}; expected NESTED or RING")
    nside = int(header.get("NSIDE", 0))
    if nside < 1 or nside & (nside - 1) or nside > 1 << ORDER:
        raise SkyMapError(f"The sky map has NSIDE = {nside}; expected a power of 2")
    return nside, ordering == "RING"


def _values(values: NDArray[np.floating]) -> Floats:
    """Probabilities as doubles; what was not observed is 0."""
    numbers = np.asarray(values, np.float64)
    return np.where(np.isnan(numbers) | (numbers < _UNSEEN), 0.0, numbers)
