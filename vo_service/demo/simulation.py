"""A toy simulation of a neutrino telescope: 100,000 candidates, the same in every run.

What is assumed: a detector in the deep Mediterranean Sea that selects tracks of muons from below and close to the
horizon, for five years in runs of half a day of which one in twenty is lost. Nearly all candidates are atmospheric
neutrinos, more of them near the horizon; one in a hundred belongs to a harder, isotropic flux. Directions are drawn in
the detector's frame and carried to the sky by the time of the event, so that the rate depends on declination as it
would for such a detector. There are no sources. Spectra, resolutions and efficiencies are of the right order, and
describe no existing instrument.
"""

from __future__ import annotations

import erfa
import numpy as np
import numpy.typing as npt
import pyarrow as pa

Array = npt.NDArray[np.float64]

LATITUDE = 36.27
"""Of the detector, geodetic, in degrees north."""
LONGITUDE = 16.10
"""Of the detector, in degrees east."""
FIRST_DAY, LAST_DAY = 58849, 60676
"""First and last MJD: 2020-01-01 to 2025-01-01, UTC."""
RUN_DAYS = 0.5
LOST_RUNS = 0.05
HIGHEST_COS_ZENITH = 0.1
"""Tracks from up to 5.7 degrees above the horizon are selected."""
ASTROPHYSICAL = 0.01
"""Share of candidates from the hard flux."""

MJD_ZERO = 2400000.5
"""Julian date of MJD 0."""


def simulate_events(rows: int = 100_000, seed: int = 20230213) -> pa.Table:
    """The candidates in order of time, with the columns of `events.yaml`.

    Angles are in degrees (`ra`, `dec` ICRS; `azimuth` from north through east), `mjd` in days (UTC), `energy` in GeV.
    """
    rng = np.random.default_rng(seed)
    mjd, run = _times(rng, rows)
    cos_zenith, azimuth = _arrival_directions(rng, rows)
    ra, dec = to_icrs(mjd, np.arccos(cos_zenith), azimuth)
    energy = _energies(rng, rows)
    return pa.table(
        {
            "event_id": np.arange(1, rows + 1),
            "run": run.astype(np.int32),
            # To a millisecond and 0.04 arc seconds: more digits would only be harder to read.
            "mjd": np.round(mjd, 8),
            "ra": np.round(ra, 5) % 360.0,
            "dec": np.round(dec, 5),
            "angular_error": _angular_errors(rng, energy).astype(np.float32),
            "energy": energy.astype(np.float32),
            "zenith": np.degrees(np.arccos(cos_zenith)).astype(np.float32),
            "azimuth": np.degrees(azimuth).astype(np.float32),
            "hits": (5 + rng.poisson(10.0 * np.log10(energy))).astype(np.int32),
            "quality": rng.beta(4.0, 1.5, rows).astype(np.float32),
        }
    )


def to_icrs(mjd: Array, zenith: Array, azimuth: Array) -> tuple[Array, Array]:
    """ICRS right ascension and declination (degrees) of directions (radians) in the detector's frame.

    By the IAU 2000 model (precession, nutation, Earth rotation angle), with UT1 taken for UTC and without aberration:
    good to half an arc minute, which is a hundredth of the angular error of a track.
    """
    latitude = np.radians(LATITUDE)
    east, north, up = np.sin(zenith) * np.sin(azimuth), np.sin(zenith) * np.cos(azimuth), np.cos(zenith)
    to_equator, to_pole = (
        up * np.cos(latitude) - north * np.sin(latitude),
        up * np.sin(latitude) + north * np.cos(latitude),
    )
    turn = erfa.era00(MJD_ZERO, mjd) + np.radians(LONGITUDE)
    intermediate = np.stack(
        [np.cos(turn) * to_equator - np.sin(turn) * east, np.sin(turn) * to_equator + np.cos(turn) * east, to_pole]
    )
    # The pole moves by less than an arc second in a day: one matrix per day is plenty.
    days, day = np.unique(np.floor(mjd), return_inverse=True)
    celestial = np.einsum("nij,in->nj", erfa.c2i00b(MJD_ZERO, days)[day], intermediate)
    ra, dec = erfa.c2s(celestial)
    return np.degrees(ra) % 360.0, np.degrees(dec)


def _times(rng: np.random.Generator, rows: int) -> tuple[Array, npt.NDArray[np.int64]]:
    """Times in MJD, ascending, and the numbers of their runs, from 1."""
    runs = np.arange(int((LAST_DAY - FIRST_DAY) / RUN_DAYS))
    taken = runs[rng.random(runs.size) >= LOST_RUNS]
    since_start = np.sort(rng.choice(taken, rows) + rng.random(rows))
    return FIRST_DAY + RUN_DAYS * since_start, since_start.astype(np.int64) + 1


def _arrival_directions(rng: np.random.Generator, rows: int) -> tuple[Array, Array]:
    """Cosine of zenith, and azimuth in radians: where the neutrinos come from."""
    cosine = np.linspace(-1.0, HIGHEST_COS_ZENITH, 1000)
    flux = 1.0 + 1.5 * np.exp(-np.abs(cosine) / 0.3)
    efficiency = np.clip(1.0 - cosine / HIGHEST_COS_ZENITH, 0.0, 1.0)
    cumulated = np.cumsum(flux * efficiency)
    drawn = np.interp(rng.random(rows) * cumulated[-1], cumulated, cosine)
    return drawn, rng.random(rows) * 2.0 * np.pi


def _energies(rng: np.random.Generator, rows: int) -> Array:
    """Reconstructed energies in GeV: log-normal around 1 TeV, and a power law from 10 TeV to 10 PeV."""
    atmospheric = rng.normal(3.0, 0.5, rows)
    # dN/dE ~ E^-1.5 as detected: a flux of E^-2.5, and an effective area that grows with E.
    low, high = 1e4**-0.5, 1e7**-0.5
    astrophysical = -2.0 * np.log10(low + rng.random(rows) * (high - low))
    true = np.where(rng.random(rows) < ASTROPHYSICAL, astrophysical, atmospheric)
    return np.asarray(10.0 ** (true + rng.normal(0.0, 0.3, rows)))


def _angular_errors(rng: np.random.Generator, energy: Array) -> Array:
    """Estimated angular errors in degrees: the angle between neutrino and muon, and 0.1 deg of the detector."""
    typical = 0.1 + 0.7 * (energy / 1000.0 + 0.1) ** -0.6
    return np.asarray(typical * 10.0 ** rng.normal(0.0, 0.15, energy.size))
