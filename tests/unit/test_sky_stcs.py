"""Regions in STC-S; galactic coordinates against astropy."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.sphere import distance
from vo_service.sky.shapes import Circle, Polygon, ShapeError, box
from vo_service.sky.stcs import parse_region

ROUNDING = 0.001 / 3600
"""Degrees."""


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("Circle ICRS 10 20 0.5", Circle(10, 20, 0.5)),
        ("CIRCLE 10 -20 .5", Circle(10, -20, 0.5)),
        ("circle icrs geocenter spherical2 1e1 +2.e1 5E-1", Circle(10, 20, 0.5)),
        ("Circle UNKNOWNFRAME TOPOCENTER 360 90 180", Circle(360, 90, 180)),
        ("Position ICRS 10 20", Circle(10, 20, 0)),
        ("  Position\t10\n20 ", Circle(10, 20, 0)),
        ("Box ICRS 10 20 3 4", box(10, 20, 3, 4)),
        ("Polygon ICRS 0 0 1 0 1 1", Polygon(((0, 0), (1, 0), (1, 1)))),
        ("polygon 0 0 1 0 1 1 0 1", Polygon(((0, 0), (1, 0), (1, 1), (0, 1)))),
    ],
)
def test_forms(text: str, shape: Circle | Polygon) -> None:
    assert parse_region(text) == shape


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("ICRS 1 2 3", "expected Position, Circle, Box or Polygon"),
        ("Ellipse ICRS 1 2 3 4 5", "expected Position, Circle, Box or Polygon"),
        ("Union ICRS (Circle 1 2 3)", "combine conditions"),
        ("Not (Circle ICRS 1 2 3)", "combine conditions"),
        ("Circle ICRS 1 2", "here are 2"),
        ("Circle ICRS 1 2 3 4", "here are 4"),
        ("Circle ICRS 1 2 -3", "0 to 180"),
        ("Circle ICRS 1 2 180.1", "0 to 180"),
        ("Circle ICRS 361 2 3", "0 to 360"),
        ("Circle ICRS -1 2 3", "0 to 360"),
        ("Circle ICRS 1 91 3", "-90 to 90"),
        ("Circle ICRS 1 nan 3", "'nan' is none"),
        ("Circle ICRS 1 inf 3", "'inf' is none"),
        ("Circle ICRS 1e400 1 3", "too large"),
        ("Circle ICRS 1_0 1 3", "is none"),
        ("Circle ICRS 0x10 1 3", "is none"),
        ("Circle ICRS 1,1,3", "is none"),
        ("Circle ICRS ICRS 1 1 3", "is none"),
        ("Circle SUPER_GALACTIC 1 1 3", "is none"),
        ("Position ICRS 1", "here are 1"),
        ("Box ICRS 1 2 3", "here are 3"),
        ("Box ICRS 1 2 0 3", "longer than 0"),
        ("Polygon ICRS 1 2 3 4", "not 4 numbers"),
        ("Polygon ICRS 1 2 3 4 5 6 7", "not 7 numbers"),
        ("Polygon ICRS 0 0 120 0 240 0", "hemisphere"),
    ],
)
def test_no_regions(text: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        parse_region(text)


@settings(max_examples=100, deadline=None)
@given(longitude=st.floats(0, 360), latitude=st.floats(-90, 90), radius=st.floats(0, 180))
@pytest.mark.parametrize(("frame", "theirs"), [("GALACTIC", "galactic"), ("FK5", "fk5")])
def test_frames(frame: str, theirs: str, longitude: float, latitude: float, radius: float) -> None:
    expected = SkyCoord(longitude * u.deg, latitude * u.deg, frame=theirs).icrs
    circle = parse_region(f"Circle {frame} {longitude!r} {latitude!r} {radius!r}")
    assert isinstance(circle, Circle)
    assert circle.radius == radius
    assert distance(circle.ra, circle.dec, expected.ra.deg, expected.dec.deg) < ROUNDING


def test_shapes_turn_as_a_whole() -> None:
    polygon = parse_region("Polygon GALACTIC 120 -30 130 -30 125 -20")
    assert isinstance(polygon, Polygon)
    expected = SkyCoord([120, 130, 125] * u.deg, [-30, -30, -20] * u.deg, frame="galactic").icrs
    ra, dec = np.array(polygon.vertices).T
    assert distance(ra, dec, expected.ra.deg, expected.dec.deg).max() < ROUNDING
    turned = parse_region("Box GALACTIC 30 40 5 6")
    assert isinstance(turned, Polygon)
    corners = SkyCoord(np.array(box(30, 40, 5, 6).vertices) * u.deg, frame="galactic").icrs
    ra, dec = np.array(turned.vertices).T
    assert distance(ra, dec, corners.ra.deg, corners.dec.deg).max() < ROUNDING
