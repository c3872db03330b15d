"""Alerts of every kind for tests: an author, one full alert, and a strategy that makes any."""

from __future__ import annotations

import string
from datetime import datetime

from hypothesis import strategies as st

from voevent.alert import CITES, ROLES, Alert, Energy, Parameter, Position
from voevent.build import Author
from voevent.packet import Citation
from voevent.vocabulary import PROVENANCE, RESERVED, SKYMAPS

AUTHOR = Author(
    stream="ivo://org.example/alerts",
    ivoid="ivo://org.example",
    title="Example Collaboration",
    contact_name="A. Person",
    contact_email="alerts@example.org",
)

FULL = Alert(
    event="EX-260301A",
    record=2,
    kind="supersedes",
    role="observation",
    written=datetime(2026, 3, 1, 12, 5),
    time=datetime(2026, 3, 1, 12, 0, 0, 250000),
    time_error=0.001,
    position=Position(
        ra=94.3,
        dec=-7.8,
        radius_50=1.2,
        radius_90=2.2,
        ellipse=(2.5, 1.5, 30.0),
        ra_error=(1.0, 1.5),
        dec_error=(0.5, 0.75),
        containment=0.68,
        systematic_included=True,
    ),
    far=3.9e-7,
    energy=Energy(value=120.0, unit="PeV", error=(50.0, 110.0)),
    topology="Track",
    mission="Example",
    instrument="EX042",
    concept="http://astrothesaurus.org/uat/1100",
    description="A neutrino <& friends>",
    skymaps=("https://example.org/map.fits",),
    references=("https://example.org/event",),
    record_url="https://example.org/provenance/17",
    provenance={"software": "reco", "version": "1.2"},
    params=(
        Parameter(name="n_hits", value=42, ucd="meta.number"),
        Parameter(name="likelihood", value=-12.5, description="Of the fit"),
        Parameter(name="flag", value="yes", group="quality"),
        Parameter(name="zenith", value=0.01, unit="rad", group="quality"),
    ),
)

# Characters that XML can hold; U+FFFE and U+FFFF are none.
_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"]), min_size=1, max_size=20).filter(
    lambda text: text == text.strip()
)
_address = st.text(string.ascii_letters + string.digits + "-_.", min_size=1).map("https://example.org/".__add__)
_size = st.floats(0, 1e30, allow_nan=False)
_pair = st.tuples(_size, _size)
_time = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))

_position = st.builds(
    Position,
    ra=st.floats(0, 360, exclude_max=True),
    dec=st.floats(-90, 90),
    radius_50=st.none() | _size,
    radius_90=st.none() | _size,
    radius=st.none() | _size,
    ellipse=st.none() | st.tuples(_size, _size, st.floats(-360, 360)),
    ra_error=st.none() | _pair,
    dec_error=st.none() | _pair,
    containment=st.none() | st.floats(0, 1, exclude_min=True),
    systematic_included=st.none() | st.booleans(),
).filter(lambda position: not position.ra == position.dec == position.error == 0)  # that means: no position

_params = st.builds(
    Parameter,
    name=_text.filter(lambda name: name.lower() not in RESERVED and not SKYMAPS.fullmatch(name)),
    value=st.none() | _text | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False),
    unit=st.none() | _text,
    ucd=st.none() | _text,
    description=st.none() | _text,
    group=st.none() | _text.filter(lambda name: name != PROVENANCE),
)


def in_groups(params: list[Parameter]) -> tuple[Parameter, ...]:
    """Parameters of one group behind each other, as they come back: a name of a group is there once."""
    order = [param.group for param in params]
    return tuple(param for at, param in sorted(enumerate(params), key=lambda pair: (_place(pair, order), pair[0])))


def _place(pair: tuple[int, Parameter], order: list[str | None]) -> int:
    at, param = pair
    return at if param.group is None else order.index(param.group)


alerts = st.builds(
    Alert,
    event=_text,
    record=st.none() | st.integers(0, 10**6),
    edition=st.none() | _text,
    kind=st.sampled_from(["initial", *CITES]),
    role=st.sampled_from(ROLES),
    written=_time,
    time=st.none() | _time,
    position=st.none() | _position,
    far=st.none() | _size,
    energy=st.none()
    | st.builds(
        Energy,
        value=st.floats(0, 1e30, exclude_min=True),
        unit=st.sampled_from(["GeV", "TeV", "PeV"]),
        error=st.none() | _pair,
    ),
    topology=st.none() | _text,
    mission=st.none() | _text,
    instrument=st.none() | _text,
    concept=st.none() | _text,
    description=st.none() | _text,
    skymaps=st.lists(_address.map(lambda address: address + "/map"), max_size=2).map(tuple),
    references=st.lists(_address, max_size=3, unique=True).map(tuple),
    record_url=st.none() | _address.map(lambda address: address + "/record"),
    provenance=st.dictionaries(_text, _text, max_size=3),
    citations=st.lists(
        st.builds(Citation, _address.map(lambda address: "ivo://" + address[8:] + "#1"), st.sampled_from(CITES)),
        max_size=2,
    ).map(tuple),
    params=st.lists(_params, max_size=5, unique_by=lambda param: (param.group, param.name)).map(in_groups),
)
"""Any alert, in the form in which it comes back from a packet."""
