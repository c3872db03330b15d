"""Matching as events are stored: maps that come with them, coincidences, and the packets that tell of these."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from tests.support.alert_tables import coincidences
from tests.support.database import new_database
from tests.support.skymaps import flat_file, two_blobs
from vo_service.app import OWN
from vo_service.catalog.description import load_description
from vo_service.catalog.store import read_catalog
from vo_service.config import Settings, load_settings
from vo_service.database.access import Access
from vo_service.database.init import initialise
from vo_service.errors import UnavailableError
from vo_service.ingest.load import load
from voevent.alert import Alert, Kind, Position, Role
from voevent.archive.insertion import Original
from voevent.archive.store import AlertStore, StoredEvent
from voevent.build import Author, build_packet
from voevent.match import online
from voevent.match.online import NAME, Matching, run_matching
from voevent.match.publication import Publication
from voevent.match.replay import current_transaction, match_loaded, rematch
from voevent.match.rules import Rule
from voevent.match.scramble import scramble_rule
from voevent.packet import Citation, read_packet
from voevent.pipeline import Source, accept
from voevent.skymap_fits import read_skymap

NOON = datetime(2020, 1, 16, 12)
MJD = 58864.5
GW, GRB = Author("ivo://gwnet/a", "ivo://gwnet"), Author("ivo://grbnet/b", "ivo://grbnet")
OURS = "ivo://org.example/alerts/coincidences"
MAP = flat_file(two_blobs(), "NESTED")

DESCRIPTION = """
name: nu
tables:
  - name: events
    primaryKey: event_id
    position: {}
    columns:
      - {name: event_id, datatype: long}
      - {name: ra, datatype: double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.ra}
      - {name: dec, datatype: double, "ivoa:unit": deg, "ivoa:ucd": pos.eq.dec}
      - {name: mjd, datatype: double, "ivoa:unit": d}
"""

GW_NU = {
    "name": "gw-nu",
    "alerts": {"streams": ["ivo://gwnet/*"]},
    "against": {"table": "nu.events", "time": "mjd", "time_format": "mjd", "error": 0.5},
    "window": {"before": 500, "after": 500},
    "sky": {"kind": "region", "level": 0.9},
    "rate_per_year": 500_000,
    "publish": True,
}
GRB_GW = {
    "name": "grb-gw",
    "alerts": {"streams": ["*"]},
    "against": {"streams": ["ivo://gwnet/a"]},
    "window": {"before": 60, "after": 60},
    "sky": {"kind": "region", "level": 0.9},
    "rate_per_year": 100,
    "publish": True,
}

PUBLISHED = "SELECT published_ivoid FROM alerts.coincidence ORDER BY rule, alert_ivoid, counterpart"


@dataclass(frozen=True)
class World:
    """A database with events in it, and who matches."""

    access: Access
    store: AlertStore
    settings: Settings
    folder: Path
    closing: ExitStack

    def matching(self, *rules: dict[str, Any]) -> Matching:
        with psycopg.connect(self.access.writer.conninfo) as connection:
            catalog = read_catalog(connection)
        checked = [Rule.model_validate(rule) for rule in rules]
        matching = Matching(self.settings, self.access, checked, self.store, lambda: catalog)
        self.closing.callback(matching.close)
        return matching

    def with_rules(self, *rules: dict[str, Any]) -> Settings:
        path = self.folder / "alerts.yaml"
        path.write_text(yaml.safe_dump({"rules": list(rules)}))
        return self.settings.model_copy(update={"voevent_file": path})

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.access.writer.conninfo) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def load(self, *events: tuple[int, float, float, float], append: bool = False) -> Any:  # noqa: ANN401
        """Rows: number, position, seconds after NOON."""
        (self.folder / "nu.yaml").write_text(DESCRIPTION)
        lines = [f"{n},{ra},{dec},{MJD + seconds / 86400!r}" for n, ra, dec, seconds in events]
        (self.folder / "nu.csv").write_text("\n".join(["event_id,ra,dec,mjd", *lines]) + "\n")
        described = load_description(self.folder / "nu.yaml")
        return load(self.access, described, [self.folder / "nu.csv"], mode="append" if append else "replace")

    @property
    def published(self) -> dict[str, str]:
        """Packets of coincidences: what each is to others."""
        packets = {ivoid: read_packet(raw) for ivoid, raw in self.rows(
            "SELECT ivoid, raw FROM alerts.voevent WHERE stream = %s ORDER BY event_id", OURS)}  # fmt: skip
        return {ivoid: ", ".join(f"{c.cite} {c.ivoid}" for c in packet.citations) for ivoid, packet in packets.items()}


@pytest.fixture(scope="module")
def used(server: Access) -> Iterator[Access]:
    with new_database(server) as access:
        initialise(access, OWN)
        yield access


@pytest.fixture
async def world(used: Access, tmp_path: Path) -> AsyncIterator[World]:
    async with new_world(used, tmp_path) as world:
        yield world


@asynccontextmanager
async def new_world(access: Access, folder: Path) -> AsyncIterator[World]:
    """The database as new."""
    settings = load_settings(authority="org.example")
    emptied = "alerts.voevent, alerts.skymap, alerts.coincidence, vo_service.alert_sink, vo_service.alert_rule"
    with psycopg.connect(access.owner.conninfo) as owner:
        owner.execute(f"TRUNCATE {emptied}, vo_service.alert_conflict CASCADE".encode())
    async with AlertStore(access) as store:
        with ExitStack() as closing:
            world = World(access, store, settings, folder, closing)
            world.load((1, 0.5, 10.0, 100.0), (2, 180.0, -30.0, 100.0), (3, 359.0, 9.0, -400.0), (4, 0.5, 10.0, 501.0))
            yield world


async def take(
    world: World,
    author: Author,
    event: str,
    *,
    seconds: float = 0.0,
    cites: tuple[tuple[str, Kind], ...] = (),
    dec: float = 10.0,
    skymap: bytes | None = None,
    role: Role = "observation",
) -> str:
    """Take in an alert; gives its identifier."""
    alert = Alert(
        event=event,
        role=role,
        written=NOON,
        time=NOON + timedelta(seconds=seconds),
        position=None if skymap else Position(ra=0.4, dec=dec, radius_90=2.0),
        far=1e-8,
        citations=tuple(Citation(ivoid, cite) for ivoid, cite in cites),
    )
    original = None
    if skymap is not None:
        notice = {"superevent_id": event, "event": {"skymap": base64.b64encode(skymap).decode()}}
        original = Original(json.dumps(notice).encode(), "application/json")
    verdict = await accept(build_packet(alert, author), Source("author", "test"), world.store, original)
    assert verdict.status == "accepted", verdict
    assert verdict.ivoid is not None
    return verdict.ivoid


async def match_all(world: World, matching: Matching, after: int = 0) -> None:
    """Deliver what is stored, and what that brings about."""
    while events := await world.store.after(after):
        for event in events:
            [number async for number in matching.deliver_all([event])]
            after = event.event_id


async def test_a_map_that_came_with_an_event_is_matched_and_the_match_published(world: World) -> None:
    gw = await take(world, GW, "S1", skymap=MAP)
    await match_all(world, world.matching(GW_NU))
    ((first, cells, level),) = world.rows("SELECT ivoid, count(*), max(credible_level) FROM alerts.skymap GROUP BY 1")
    assert (first, cells, level) == (gw, len(read_skymap(MAP).first), 1.0)
    with psycopg.connect(world.access.writer.conninfo) as connection:
        found = coincidences(connection)
    assert [(row[1], row[2], row[3], row[11]) for row in found] == [
        (gw, "1", "nu.events", "current"),
        (gw, "3", "nu.events", "current"),
    ]
    assert list(world.published.values()) == [f"followup {gw}"] * 2
    told = {ivoid: read_packet(raw) for ivoid, raw in world.rows("SELECT ivoid, raw FROM alerts.voevent")}
    for row, (published,) in zip(found, world.rows(PUBLISHED), strict=True):
        packet = told[published]
        numbers = {param.name: param.number for param in packet.params}
        texts = {param.name: param.value for param in packet.params}
        for name, value in zip("delta_t separation overlap containment p_value FAR".split(), row[4:10], strict=True):
            assert numbers[name] == pytest.approx(value, rel=1e-12)
        assert (texts["counterpart"], texts["counterpart_table"], texts["rule"]) == (row[2], "nu.events", "gw-nu")
        assert (packet.where.ra, packet.where.dec) == pytest.approx(row[12:14])
        assert (numbers["src_error_50"], numbers["src_error_90"]) == pytest.approx(row[14:16])
        assert packet.where.time == NOON
    assert world.rows("SELECT count(*) FROM alerts.voevent WHERE matched_at IS NULL") == [(0,)]


@pytest.mark.parametrize("file", [MAP[:6000], b"SIMPLE  = nothing"])
async def test_a_map_that_cannot_be_used_is_told_of(world: World, file: bytes) -> None:
    gw = await take(world, GW, "S1", skymap=file)
    matching = world.matching(GW_NU)
    await match_all(world, matching)
    await match_all(world, matching)
    ((ivoid, warning, matched),) = world.rows("SELECT ivoid, warning, matched_at IS NOT NULL FROM alerts.voevent")
    assert (ivoid, matched) == (gw, True)
    assert warning.count("sky map") == 1


async def history(world: World, matching: Matching) -> list[str]:
    """A coincidence of two alerts, an update that keeps it, one that does not, a new one, and a retraction."""
    gw = await take(world, GW, "S1")
    grb = await take(world, GRB, "G1", seconds=10)
    await match_all(world, matching)
    second = await take(world, GRB, "G1u", seconds=11, cites=((grb, "supersedes"),), dec=10.5)
    third = await take(world, GRB, "G1v", seconds=11, cites=((second, "supersedes"),), dec=60.0)
    await take(world, GRB, "G2", seconds=20)
    await match_all(world, matching)
    await take(world, GW, "S1r", cites=((gw, "retraction"),))
    await match_all(world, matching)
    return [gw, grb, second, third]


async def test_updates_and_retractions_are_published(world: World) -> None:
    gw, grb, second, _ = await history(world, world.matching(GRB_GW))
    packets = list(world.published.items())
    first, revised, none, other, gone = (ivoid for ivoid, _ in packets)
    assert [cites for _, cites in packets] == [
        f"followup {grb}, followup {gw}",
        f"followup {second}, followup {gw}, supersedes {first}",
        f"retraction {revised}",
        f"followup ivo://grbnet/b#G2, followup {gw}",
        f"retraction {other}",
    ]
    assert none == f"{revised}_retraction"
    assert gone == f"{other}_retraction"
    status = world.rows("SELECT alert_ivoid, revision, status, published_ivoid FROM alerts.coincidence ORDER BY 1")
    assert status == [
        (grb, 1, "retracted", first),
        (second, 2, "retracted", revised),
        ("ivo://grbnet/b#G2", 1, "retracted", other),
    ]


class StoppedError(Exception):
    """As if the process had been killed here."""


END = (
    "SELECT rule, alert_ivoid, counterpart, revision, status, published_ivoid FROM alerts.coincidence ORDER BY 1, 2, 3"
)


async def everything(world: World, matching: Matching) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """What there is in the end of a history with a map and a table in it."""
    await take(world, GW, "S0", seconds=50, skymap=MAP)
    await history(world, matching)
    return world.published, world.rows(END)


@pytest.mark.parametrize("step", range(1, 6))
async def test_what_a_crash_leaves_half_done_comes_out_the_same(
    used: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Each event is delivered twice: the first time it ends after one of the steps."""
    async with new_world(used, tmp_path) as world:
        expected = await everything(world, world.matching(GW_NU, GRB_GW))
    async with new_world(used, tmp_path) as world:
        assert await everything(world, _interrupted(world.matching(GW_NU, GRB_GW), monkeypatch, step)) == expected
        assert world.rows("SELECT count(*) FROM vo_service.alert_conflict") == [(0,)]
    packets, recorded = expected
    assert len(packets) > 15
    assert {row[5] for row in recorded} == {ivoid for ivoid in packets if not ivoid.endswith("_retraction")}
    assert {row[4] for row in recorded} == {"current", "superseded", "retracted"}


def _interrupted(matching: Matching, monkeypatch: pytest.MonkeyPatch, step: int) -> Matching:
    deliver_all, publish, done = matching.deliver_all, online.publish, matching._done

    async def some(store: AlertStore, published: Sequence[Publication]) -> None:
        await publish(store, published[: step - 1])
        if step < 4:
            raise StoppedError

    def not_done(event_ids: Sequence[int], published: Sequence[Publication] = ()) -> None:
        if step == 5:
            done(event_ids, published)
        if event_ids:
            raise StoppedError

    async def twice(events: Sequence[StoredEvent]) -> AsyncIterator[int]:
        with monkeypatch.context() as patched:
            patched.setattr(online, "publish", some)
            patched.setattr(matching, "_done", not_done)
            with pytest.raises(StoppedError):
                [number async for number in deliver_all(events)]
        async for number in deliver_all(events):
            yield number

    monkeypatch.setattr(matching, "deliver_all", twice)
    return matching


async def test_a_coincidence_is_matched_by_rules_that_name_its_stream_but_not_with_its_inputs(world: World) -> None:
    again = {**GRB_GW, "name": "again", "alerts": {"streams": [OURS]}, "against": {"streams": ["ivo://g*net/*"]}}
    gw = await take(world, GW, "S1")
    grb = await take(world, GRB, "G1", seconds=10)
    await match_all(world, world.matching(GRB_GW, again))
    assert list(world.published.values()) == [f"followup {grb}, followup {gw}"]
    last = await world.store.last()
    third = await take(world, GRB, "G2", seconds=30)
    await match_all(world, world.matching(again), last)
    pair, triple = world.published
    assert world.published[triple] == f"followup {pair}, followup {third}"


async def test_tests_are_published_as_tests(world: World) -> None:
    both = {**GRB_GW, "roles": ["observation", "test"]}
    await take(world, GW, "S1", role="test")
    await take(world, GRB, "G1", role="test")
    await take(world, GRB, "G2", seconds=3)
    await match_all(world, world.matching(both))
    assert world.rows("SELECT \"role\", ivoid LIKE '%%\\_test' FROM alerts.voevent WHERE stream = %s", OURS) == [
        ("test", True)
    ]


async def test_a_rule_that_cannot_be_used_is_recorded_and_others_go_on(world: World) -> None:
    gone = {**GW_NU, "name": "gone", "against": {"table": "nu.gone"}}
    await take(world, GW, "S1", skymap=MAP)
    matching = world.matching(gone, GW_NU)
    # A table that was dropped after the catalogue was read.
    absent = world.matching({**GW_NU, "name": "dropped"}, GRB_GW)
    await match_all(world, matching)
    assert len(world.published) == 2
    await take(world, GRB, "G1", seconds=10)
    with psycopg.connect(world.access.writer.conninfo, autocommit=True) as connection:
        connection.execute("ALTER TABLE nu.events RENAME TO away")
        await match_all(world, absent)
        connection.execute("ALTER TABLE nu.away RENAME TO events")
    assert len(world.published) == 3
    failures = world.rows("SELECT name, failures, last_error FROM vo_service.alert_rule ORDER BY name")
    assert [(name, count) for name, count, _ in failures] == [("dropped", 1), ("gone", 1)]
    assert "nu.gone, which is not published" in failures[1][2]


async def test_a_replay_gives_the_same(world: World) -> None:
    await take(world, GW, "S0", seconds=50, skymap=MAP)
    await history(world, world.matching(GW_NU, GRB_GW))
    with psycopg.connect(world.access.writer.conninfo) as connection:
        recorded = coincidences(connection)
        published = world.rows(PUBLISHED)
        connection.execute("DELETE FROM alerts.coincidence")
        connection.execute("DELETE FROM alerts.skymap")
    settings = world.with_rules(GW_NU, GRB_GW)
    events = await world.store.last()
    done = await asyncio.to_thread(rematch, world.access, settings)
    assert done.coincidences >= len(recorded) > 4
    with psycopg.connect(world.access.writer.conninfo) as connection:
        assert coincidences(connection) == recorded
    assert published == world.rows(
        "SELECT published_ivoid FROM alerts.coincidence ORDER BY rule, alert_ivoid, counterpart"
    )
    assert await world.store.last() == events


async def test_a_replay_of_the_beginning_knows_what_was_retracted_later(world: World) -> None:
    await history(world, world.matching())
    ((until,),) = world.rows("SELECT stored_at FROM alerts.voevent WHERE ivoid = 'ivo://grbnet/b#G2'")
    settings = world.with_rules(GRB_GW)
    await asyncio.to_thread(rematch, world.access, settings, until=until)
    assert set(world.rows("SELECT status FROM alerts.coincidence")) == {("retracted",)}
    assert world.published == {}
    ((count,),) = world.rows("SELECT count(*) FROM alerts.coincidence")
    later = await asyncio.to_thread(rematch, world.access, settings, since=until + timedelta(microseconds=1))
    assert later.events == 1
    assert world.rows("SELECT count(*) FROM alerts.coincidence") == [(count,)]


async def test_rows_that_are_appended_are_matched(world: World) -> None:
    gw = await take(world, GW, "S1", skymap=MAP)
    await take(world, GW, "S2", seconds=1e5, skymap=MAP)
    await match_all(world, world.matching(GW_NU))
    settings = world.with_rules(GW_NU, GRB_GW, {**GW_NU, "name": "bad", "against": {"table": "nu.events"}})
    before = current_transaction(world.access)
    report = world.load((7, 0.2, 10.0, -20.0), (8, 200.0, -20.0, 0.0), append=True)
    assert await match_loaded(world.access, settings, report.tables, before) == 3
    found = world.rows("SELECT alert_ivoid, counterpart, published_ivoid <> '' FROM alerts.coincidence ORDER BY 2")
    assert found == [(gw, "1", True), (gw, "3", True), (gw, "7", True)]
    assert len(world.published) == 3
    assert await match_loaded(world.access, settings, report.tables, current_transaction(world.access)) == 0
    assert world.rows("SELECT name FROM vo_service.alert_rule") == [("bad",)]


async def test_scrambled_events_tell_how_often_a_coincidence_comes_about(world: World) -> None:
    await take(world, GW, "S1", skymap=MAP)
    await match_all(world, world.matching(GW_NU))
    rule = Rule.model_validate(GW_NU)
    with psycopg.connect(world.access.writer.conninfo) as connection:
        catalog = read_catalog(connection)
        found = scramble_rule(connection, rule, catalog, trials=400, seed=4)
        again = scramble_rule(connection, rule, catalog, trials=400, seed=4)
    assert found == again
    assert [one.counterpart for one in found] == ["1", "3"]
    assert found[0].p_value < found[1].p_value
    assert found[0].empirical.p_value <= found[1].empirical.p_value < 1
    assert found[0].empirical_far == pytest.approx(1e-8 * max(found[0].empirical.matches, 1) / 400)


async def test_events_are_matched_as_they_are_stored(world: World) -> None:
    await world.store.position(NAME)
    matching = asyncio.create_task(run_matching(world.with_rules(GW_NU), world.access))
    try:
        await take(world, GW, "S1", skymap=MAP)
        await until(lambda: len(world.published) == 2)
        last = await world.store.last()
        await until(
            lambda: world.rows("SELECT last_event FROM vo_service.alert_sink WHERE name = 'matching'")[0][0] == last
        )
    finally:
        matching.cancel()
        await asyncio.gather(matching, return_exceptions=True)


async def test_a_connection_that_is_lost_is_opened_again(world: World) -> None:
    matching = world.matching(GW_NU)
    await take(world, GW, "S1", skymap=MAP)
    await match_all(world, matching)
    assert matching._database._open is not None
    world.rows("SELECT pg_terminate_backend(%s)", matching._database._open.info.backend_pid)
    (event,) = await world.store.after(0, 1)
    with pytest.raises(UnavailableError):
        [number async for number in matching.deliver_all([event])]
    [number async for number in matching.deliver_all([event])]
    assert len(world.published) == 2


async def until(reached: Callable[[], bool]) -> None:
    """Wait for something, for a minute at most."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(reached):  # noqa: ASYNC110 (the database tells nobody)
            await asyncio.sleep(0.02)
