"""How much a coincidence means: rates and probabilities of pairs that come about by chance.

Pure functions of numbers; rates in Hz, times in s, angles in deg. FAR is false alarm rate.

References
----------
.. [1] Urban 2016, PhD thesis, University of Wisconsin-Milwaukee; Cho 2019, PhD thesis, Stanford University: RAVEN, the
   coincidences of gravitational waves with gamma-ray bursts
.. [2] Ashton et al. 2018, ApJ 860, 6: coincident detection significance, the overlap integral
.. [3] Ayala Solares et al. 2020 (AMON), arXiv:2008.10616; Ageron et al. 2019 (ANTARES), arXiv:1904.06420
.. [4] Gross and Vitells 2010, Eur. Phys. J. C 70, 525: trials
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vo_service.sky.angles import unit_vectors
from voevent.skymap import SKY

YEAR = 365.25 * 86400.0
"""A Julian year [s]."""


def temporal_far(far: float, rate: float, window: float) -> float:
    """FAR of pairs in time alone: alerts of rate `far`, each with `rate * window` others within the window's length.

    RAVEN's for triggers that are all significant [1]_.
    """
    return far * rate * window


def temporal_far_below_threshold(
    far: float, other_far: float, window: float, *, threshold: float, other_threshold: float
) -> float:
    """FAR of pairs as rare as this one, when both searches report triggers below significance, up to thresholds.

    Pairs come about at the rate z_max = window * threshold * other_threshold. Noise has FARs uniform up to the
    threshold, and the product of two uniform numbers is at most u with the probability u (1 - ln u): the rate is
    z (1 - ln(z / z_max)) with z = window * far * other_far [1]_.
    """
    if not (0 <= far <= threshold and 0 <= other_far <= other_threshold):
        raise ValueError("expected false alarm rates from 0 to the threshold of each")
    rarity = window * far * other_far
    if rarity == 0:
        return 0.0
    return rarity * (1 - math.log(rarity / (window * threshold * other_threshold)))


def space_time_far(temporal: float, overlap: float) -> float:
    """FAR in time and position, of the FAR in time and the overlap integral; infinite where positions exclude [1]_."""
    return temporal / overlap if overlap > 0 else math.inf


def expected_by_chance(rate: float, window: float, area: float) -> float:
    """Number of events expected in a time window within an area [deg2], of a rate over the whole sky, isotropic."""
    return rate * window * area / SKY


def chance_probability(expected: float, trials: int = 1) -> float:
    """Probability of at least one event, of so many expected (Poisson), in any of a number of trials [4]_."""
    return -math.expm1(-expected * trials)


def area_of_chance(probability: float, rate: float, window: float, trials: int = 1) -> float:
    """The searched area [deg2] that a chance probability came from, at most the sky."""
    if probability >= 1:
        return SKY
    return min(SKY, -math.log1p(-probability) / trials / (rate * window) * SKY)


def disc_area(radius: float) -> float:
    """Area of a disc on the sphere [deg2]."""
    return SKY * math.sin(math.radians(min(radius, 180.0)) / 2) ** 2


def gaussian_sigma(radius: float, containment: float) -> float:
    """Standard deviation of each coordinate [deg] of a circular Gaussian that has a containment within a radius [deg].

    0.394 of it lie within one standard deviation, 0.9 within 2.146.
    """
    return radius / math.sqrt(-2 * math.log1p(-containment))


def gaussian_radius(sigma: float, containment: float) -> float:
    """Radius [deg] of a containment; the inverse of `gaussian_sigma`."""
    return sigma * math.sqrt(-2 * math.log1p(-containment))


def gaussian_overlap(separation: float, sigma: float, other_sigma: float) -> float:
    """The overlap integral [2]_ of two circular Gaussians [deg], as `voevent.skymap.overlap` of their maps.

    The sphere is taken to be flat across the errors: right to 1 % below 5 degrees.
    """
    variance = sigma**2 + other_sigma**2
    return SKY / (2 * math.pi * variance) * math.exp(-(separation**2) / (2 * variance))


@dataclass(frozen=True, slots=True)
class JointPosition:
    """Where the source of a coincidence is: ICRS [deg], and radii [deg] of 50 and 90 % containment."""

    ra: float
    dec: float
    r50: float
    r90: float


def joint_position(
    ra: float, dec: float, sigma: float, other_ra: float, other_dec: float, other_sigma: float
) -> JointPosition:
    """The best position of two with circular Gaussian errors: the mean of the directions, weighted by 1 / sigma^2.

    It maximises the sum of both log-likelihoods, as AMON's coincidences have it [3]_. Errors are above 0.
    """
    weights = np.array([sigma, other_sigma], float) ** -2.0
    x, y, z = weights @ unit_vectors([ra, other_ra], [dec, other_dec])
    combined = float(weights.sum() ** -0.5)
    return JointPosition(
        ra=math.degrees(math.atan2(y, x)) % 360.0,
        dec=math.degrees(math.atan2(z, math.hypot(x, y))),
        r50=gaussian_radius(combined, 0.5),
        r90=gaussian_radius(combined, 0.9),
    )
