"""The rows of a cone among those of its cells: which, how many, in which order."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pyarrow as pa
import pytest
from astropy.coordinates import SkyCoord

from conesearch import nearest
from conesearch.request import ConeRequest
from vo_service.formats.registry import find_format

CENTRE = (123.0, -45.0)
RNG = np.random.default_rng(5)
RA = RNG.uniform(0, 360, 3_000)
DEC = np.degrees(np.arcsin(RNG.uniform(-1, 1, 3_000)))
DISTANCES = SkyCoord(RA, DEC, unit="deg").separation(SkyCoord(*CENTRE, unit="deg")).deg


async def cells() -> AsyncIterator[pa.RecordBatch]:
    """All positions of the sphere, in batches, one of them empty."""
    for part in np.split(np.arange(len(RA)), [700, 700, 1_900]):
        columns = [pa.array([f"n{n}" for n in part], pa.string()), pa.array(RA[part]), pa.array(DEC[part])]
        yield pa.RecordBatch.from_arrays(columns, ["id", "ra", "dec"])


async def search(radius: float, maxrec: int, expected: float) -> pa.Table:
    request = ConeRequest(*CENTRE, radius, verbosity=1, maxrec=maxrec, format=find_format(None))
    batches = [batch async for batch in nearest.wanted_rows(cells(), request, expected)]
    assert all(batch.num_rows for batch in batches)
    if not batches:
        return pa.table({"id": pa.array([], pa.string()), "_r": pa.array([], pa.float64())})
    return pa.Table.from_batches(batches)


def rows_of(found: pa.Table) -> list[int]:
    return [int(name[1:]) for name in found["id"].to_pylist()]


@pytest.mark.parametrize("radius", [0.001, 3, 60, 180])
async def test_rows_are_those_of_brute_force_the_nearest_first(radius: float) -> None:
    found = await search(radius, 10_000, 100)
    order = np.argsort(DISTANCES)
    assert rows_of(found) == order[: np.sum(np.sort(DISTANCES) <= radius)].tolist()
    np.testing.assert_allclose(found["_r"].to_numpy(), np.sort(DISTANCES)[: len(found)], rtol=0, atol=1e-12)


async def test_rows_are_cut_after_one_more_than_maxrec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "PIECE", 7)
    assert rows_of(await search(180, 20, 10_000)) == np.argsort(DISTANCES)[:21].tolist()
    assert rows_of(await search(180, 1_000, 30_000)) == list(range(1_001))


async def test_very_many_rows_come_as_they_are() -> None:
    found = rows_of(await search(180, 10**6, 30_000))
    assert found == list(range(3_000))
    assert rows_of(await search(90, 10**6, 30_000)) == np.flatnonzero(DISTANCES <= 90).tolist()


async def test_rows_that_are_too_many_to_be_sorted_come_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "MOST_HELD", 30_000)
    found = rows_of(await search(180, 10**6, 100))
    assert sorted(found) == list(range(3_000))
    assert found[:700] == sorted(range(700), key=lambda row: DISTANCES[row])
    cut = rows_of(await search(180, 1_500, 100))
    assert len(cut) == len(set(cut)) == 1_501
