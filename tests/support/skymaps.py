"""Sky maps for tests: FITS files of our own making, and the small map that they hold."""

from __future__ import annotations

import gzip
import io
from typing import Any, Final

import astropy_healpix
import numpy as np
from astropy import units as u
from astropy.io import fits
from numpy.typing import NDArray

NSIDE: Final = 64
_COMMON: Final = {"PIXTYPE": "HEALPIX", "COORDSYS": "C"}


def two_blobs(nside: int = NSIDE, *, order: str = "nested") -> NDArray[np.float64]:
    """A map with one source near RA = 0 and a weaker one near the pole; nothing in the far south. Not normalised."""
    sphere = astropy_healpix.HEALPix(nside, order=order)
    lon, lat = (angle.to_value(u.rad) for angle in sphere.healpix_to_lonlat(np.arange(sphere.npix)))
    values = np.zeros(sphere.npix)
    for ra, dec, sigma, weight in ((0.2, 10.0, 6.0, 3.0), (200.0, 84.0, 9.0, 1.0)):
        cosine = np.sin(lat) * np.sin(np.radians(dec))
        cosine += np.cos(lat) * np.cos(np.radians(dec)) * np.cos(lon - np.radians(ra))
        values += weight * np.exp((cosine - 1) / np.radians(sigma) ** 2)
    values[lat < np.radians(-60)] = 0
    return values


def flat_file(values: NDArray[Any], ordering: str, *, name: str = "PROB", width: int = 1, **header: object) -> bytes:
    """A flat map; `width` pixels in each row."""
    nside = int(np.sqrt(len(values) / 12))
    rows = values.reshape(-1, width) if width > 1 else values
    column = fits.Column(name, f"{width}D" if width > 1 else "D", array=rows)
    return _file([column], {"ORDERING": ordering, "NSIDE": nside, "INDXSCHM": "IMPLICIT", **header})


def multi_order_file(uniq: NDArray[np.int64], density: NDArray[np.float64], **header: object) -> bytes:
    """A multi-order map; density per steradian."""
    columns = [fits.Column("UNIQ", "K", array=uniq), fits.Column("PROBDENSITY", "D", unit="sr-1", array=density)]
    return _file(columns, {"ORDERING": "NUNIQ", "MOC": True, **header})


def mixed_cells(values: NDArray[np.float64], coarse: int = 8) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A flat nested map as cells of two sizes: those of `coarse` times its nside^2 hold what is faint.

    Gives UNIQ numbers and probabilities.
    """
    order = int(np.log2(len(values) / 12)) // 2
    group = values.reshape(-1, coarse**2)
    bright = group.max(axis=1) > 0.01 * values.max()
    small = np.flatnonzero(np.repeat(bright, coarse**2))
    large = np.flatnonzero(~bright)
    large_order = order - int(np.log2(coarse))
    uniq = np.concatenate([4 * 4**order + small, 4 * 4**large_order + large])
    return uniq, np.concatenate([values[small], group[large].sum(axis=1)])


def packed(raw: bytes) -> bytes:
    return gzip.compress(raw, 1)


def _file(columns: list[fits.Column], header: dict[str, object]) -> bytes:
    table = fits.BinTableHDU.from_columns(columns)
    table.header.update({**_COMMON, **header})
    stream = io.BytesIO()
    # An image before the table, as a reader must pass over it.
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(np.zeros((30, 40))), table]).writeto(stream)
    return stream.getvalue()
