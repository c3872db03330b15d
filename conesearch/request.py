"""The parameters of a cone search, as one value (SCS 1.03, section 2.1, and DALI 1.1, section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass

from vo_service.config import Settings
from vo_service.dali.parameters import Parameters
from vo_service.formats.registry import FormatChoice, find_format
from vo_service.sky.angles import without_dust


@dataclass(frozen=True, slots=True)
class ConeRequest:
    """What a client asks for.

    Attributes
    ----------
    ra, dec
        Centre [deg, ICRS]; right ascension in [0, 360), declination in [-90, 90].
    radius
        Radius [deg] in [0, 180]; 0 asks for the columns alone.
    verbosity
        1 for the columns that the standard asks for, 2 for the principal ones, 3 for all.
    maxrec
        Rows of the answer at most.
    format
        The output format, with its options.
    """

    ra: float
    dec: float
    radius: float
    verbosity: int
    maxrec: int
    format: FormatChoice


def read_request(parameters: Parameters, settings: Settings) -> ConeRequest:
    """The request that the parameters make. Raises UsageError that names the parameter at fault."""
    return ConeRequest(
        ra=without_dust(parameters.number("RA", 0, 360) % 360.0),
        dec=without_dust(parameters.number("DEC", -90, 90)),
        radius=parameters.number("SR", 0, 180),
        verbosity=parameters.integer("VERB", low=1, high=3, default=2),
        maxrec=min(parameters.integer("MAXREC", low=0, default=settings.maxrec_default), settings.maxrec_limit),
        format=find_format(parameters.one("RESPONSEFORMAT") or parameters.one("FORMAT")),
    )
