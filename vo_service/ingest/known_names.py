"""What well-known names of columns in astroparticle physics suggest: a UCD, a unit, and which pairs are coordinates.

All of it is guessed, and marked so where it is used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name suggests. `unit` is None where nothing is usual."""

    ucd: str
    unit: str | None = None


# UCD | usual unit ("-" if there is none, "" if the quantity has no dimension) | names, in lower case
_TABLE = """
pos.eq.ra;meta.main          | deg | ra raj2000 _raj2000 ra_j2000 right_ascension ra_deg ra_icrs trackfit_ra_deg
pos.eq.dec;meta.main         | deg | dec decl de dej2000 _dej2000 dec_j2000 declination dec_deg de_icrs trackfit_dec_deg
pos.galactic.lon             | deg | l glon gal_lon gal_l galactic_longitude
pos.galactic.lat             | deg | b glat gal_lat gal_b galactic_latitude
pos.az.azi                   | deg | azimuth azi az phi
pos.az.zd                    | deg | zenith zen ze zd theta zenith_angle
pos.az.alt                   | deg | altitude alt elevation
time.epoch                   | d   | mjd eventmjd event_mjd obs_mjd t_mjd time_mjd mjd_utc jd
time.epoch                   | -   | time t date obs_time event_time date_obs time_utc utc unixtime unix_time
phys.energy                  | -   | energy e erec e_reco reco_energy energy_reco trk_e muon_energy deposited_energy
phys.energy                  | -   | loge log_e log10_e log10energy log10_energy lge logenergy
meta.id;meta.main            | -   | id event_id eventid evt_id evtid event source_id objid ident
meta.id;meta.main            | -   | name source_name object source target object_name
meta.id;obs.sequence         | -   | run run_id runid run_number obs_id
meta.number                  | -   | nhit nhits n_hits nhit_reco n_stations nstations
stat.error;pos.eq            | deg | angular_error angerr ang_err beta sigma pos_err poserr error_radius psi_err
stat.likelihood              | -   | lik likelihood loglik log_likelihood lambda
stat.error;pos.eq.ra         | deg | ra_err ra_error e_ra
stat.error;pos.eq.dec        | deg | dec_err dec_error e_dec
meta.code.qual               | -   | quality flag flags
phot.flux                    | -   | flux
stat.error;phot.flux         | -   | flux_err unc_flux flux_error
spect.index                  | -   | index pl_index spectral_index photon_index
src.redshift                 | -   | z redshift
src.class                    | -   | class source_class type
"""

_MEANINGS = {
    name: Meaning(ucd.strip(), None if unit.strip() == "-" else unit.strip())
    for ucd, unit, names in (line.split("|") for line in _TABLE.strip().splitlines())
    for name in names.split()
}

# Of whole words, with what may stand around them: `trackfit_ra_deg` is a right ascension, `extra` is none.
_AROUND = r"(?P<before>(?:.*[_.])?){}(?P<after>(?:_(?:deg|rad|icrs|j2000|gal))?)"
_PAIRS: tuple[tuple[Literal["icrs", "galactic"], str, str], ...] = (
    ("icrs", "ra|raj2000|right_?ascension|alpha", "dec|decl|de|dej2000|declination|delta"),
    ("galactic", "l|glon|lon|galactic_?longitude", "b|glat|lat|galactic_?latitude"),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two columns that look like a position."""

    frame: Literal["icrs", "galactic"]
    longitude: str
    latitude: str
    radians: bool
    """Whether the names say that the unit is rad."""


def meaning(name: str) -> Meaning | None:
    """What the name of a column suggests, if anything."""
    return _MEANINGS.get(name.strip().lower())


def find_pair(names: Sequence[str]) -> Pair | None:
    """The columns that are most likely the position: equatorial before galactic, plain names before others."""
    found: list[tuple[int, Pair]] = []
    for frame, longitude, latitude in _PAIRS:
        for first in names:
            match = re.fullmatch(_AROUND.format(f"(?:{longitude})"), first.strip().lower())
            if match is None:
                continue
            second = _partner(names, match["before"], latitude, match["after"])
            if second is not None:
                found.append((len(match["before"]), Pair(frame, first, second, match["after"] == "_rad")))
        if found:
            return min(found, key=lambda candidate: candidate[0])[1]
    return None


def _partner(names: Sequence[str], before: str, words: str, after: str) -> str | None:
    pattern = re.escape(before) + f"(?:{words})" + re.escape(after)
    return next((name for name in names if re.fullmatch(pattern, name.strip().lower())), None)
