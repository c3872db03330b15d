"""What a request for a cut-out means: parameters as values, and clear errors for those that mean nothing."""

from __future__ import annotations

import math

import astropy.units as u
import pytest

from datalink.cutout_request import CutoutRequest, read_cutout
from vo_service.catalog.model import Column, Position, Table
from vo_service.config import Settings
from vo_service.coverage.axes import axes_of, energy_of
from vo_service.dali.parameters import Parameters
from vo_service.errors import UsageError
from vo_service.sky.shapes import Circle, Polygon

EVENTS = Table(
    "ev",
    "events",
    (
        Column("ra", "double", unit="deg", ucd="pos.eq.ra;meta.main"),
        Column("dec", "double", unit="deg", ucd="pos.eq.dec;meta.main"),
        Column("time", "char", "*", xtype="timestamp", ucd="time.epoch"),
        Column("hits", "int", ucd="phys.energy"),
        Column("E", "float", unit="TeV", ucd="phys.energy;phys.particle.neutrino"),
    ),
    position=Position("ra", "dec"),
    epoch_column="time",
)
BARE = Table("ev", "bare", (Column("x", "int"), Column("E", "float", unit="m", ucd="em.energy")))


def asked(**values: str) -> CutoutRequest:
    return read_cutout(Parameters(list(values.items())), EVENTS, Settings())


def test_axes_are_those_that_columns_have() -> None:
    axes = axes_of(EVENTS)
    assert axes.energy is not None
    assert axes.time is not None
    assert (axes.energy.column.name, axes.energy.ev, axes.time.is_mjd) == ("E", 1e12, False)
    assert not axes_of(BARE)


def test_parameters_become_values() -> None:
    request = asked(CIRCLE="-10 20 0.5", TIME="57000 +Inf", ENERGY="0.1 10", MAXREC="7", RESPONSEFORMAT="csv")
    assert request.shape == Circle(350.0, 20.0, 0.5)
    assert request.time == (57000.0, math.inf)
    assert request.energy == (0.1, 10.0)
    assert (request.maxrec, request.format.format.extension) == (7, "csv")
    assert asked(POLYGON="0 0 10 0 0 10").shape == Polygon(((0.0, 0.0), (10.0, 0.0), (0.0, 10.0)))
    assert asked(TIME="57000").time == (57000.0, 57000.0)
    nothing = asked(CIRCLE=" ", TIME="")
    assert (nothing.shape, nothing.time, nothing.energy) == (None, None, None)


def test_a_band_is_the_energy_of_photons() -> None:
    wavelength = 1e-18
    energy = (wavelength * u.m).to_value(u.eV, equivalencies=u.spectral())
    assert energy_of(wavelength) == pytest.approx(energy, rel=1e-9)
    low, high = asked(BAND=f"{wavelength} {2 * wavelength}").energy or (0, 0)
    assert (low, high) == pytest.approx((energy / 2e12, energy / 1e12), rel=1e-9)
    assert (asked(BAND="0 1").energy or (0, 0))[1] == math.inf
    assert (asked(BAND="1 +Inf").energy or (1, 0))[0] == 0


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"CIRCLE": "1 2"}, "CIRCLE"),
        ({"CIRCLE": "1 91 1"}, "CIRCLE"),
        ({"CIRCLE": "1 2 -1"}, "CIRCLE"),
        ({"CIRCLE": "1 2 nan"}, "CIRCLE"),
        ({"CIRCLE": "1 2 Inf"}, "CIRCLE"),
        ({"POLYGON": "1 2 3 4"}, "POLYGON"),
        ({"POLYGON": "1 2 3 4 5 6 7"}, "POLYGON"),
        ({"POLYGON": "0 0 120 0 240 0"}, "POLYGON"),
        ({"CIRCLE": "1 2 3", "POLYGON": "0 0 10 0 0 10"}, "exclude"),
        ({"TIME": "2 1"}, "TIME"),
        ({"TIME": "1 2 3"}, "TIME"),
        ({"TIME": "2020-01-01"}, "TIME"),
        ({"ENERGY": "1 2", "BAND": "1 2"}, "exclude"),
        ({"POS": "CIRCLE 1 2 3"}, "POS"),
        ({"POL": "I"}, "POL"),
        ({"MAXREC": "-1"}, "MAXREC"),
        ({"RESPONSEFORMAT": "image/png"}, "RESPONSEFORMAT"),
    ],
)
def test_what_means_nothing_is_refused_by_name(values: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        asked(**values)


@pytest.mark.parametrize("name", ["CIRCLE", "POLYGON", "TIME", "BAND", "ENERGY"])
def test_a_table_is_not_cut_along_axes_that_it_has_not(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        read_cutout(Parameters([(name, "1 2 3")]), BARE, Settings())
