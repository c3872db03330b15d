"""`/metrics` for Prometheus, and `/voevent/broker`, a page that shows the broker at work.

Both are public. Who subscribes is a matter of persons: addresses, identifiers and filters of subscribers, and messages
of errors (which may name machines and accounts), are shown only to those who have the token of authors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from vo_service.config import Settings
from vo_service.context import Context
from vo_service.dali.endpoints import READ, base_url, endpoint
from vo_service.errors import UsageError
from vo_service.web.render import render
from voevent.authors import expect_author
from voevent.operations.metrics import MEDIA_TYPE, exposition
from voevent.operations.observation import Observation, Observer, Quantiles
from voevent.operations.state import ProcessState

_FRESH: Final = {"Cache-Control": "no-store", "Vary": "Authorization"}


def operations_routes(context: Context) -> Sequence[BaseRoute]:
    """The addresses; they go before those that match any identifier below `/voevent`."""
    observer, settings = Observer(context.database), context.settings

    async def metrics(request: Request) -> Response:
        return Response(exposition(await observer.look()), headers={"Content-Type": MEDIA_TYPE, **_FRESH})

    async def broker(request: Request) -> Response:
        wanted = request.query_params.get("format", "html")
        if wanted not in ("html", "json"):
            raise UsageError(f"format={wanted[:60]}: expected html or json")
        state = as_json(await observer.look(), with_persons=_is_author(request, settings))
        if wanted == "json":
            return JSONResponse(state, headers=_FRESH)
        shared = {"settings": settings, "base": base_url(request, settings), "root": "../", "endpoints": ()}
        return render("alerts/broker.html", shared | {"state": state}, live=True)

    return [endpoint("/metrics", metrics, READ), endpoint("/voevent/broker", broker, READ)]


def _is_author(request: Request, settings: Settings) -> bool:
    """Whether the request has the token of authors. Raises ForbiddenError if it has another one."""
    if "authorization" not in request.headers:
        return False
    expect_author(request, settings)
    return True


def as_json(observation: Observation, *, with_persons: bool) -> dict[str, Any]:
    """An observation as the page shows it: lists of flat objects. What is hidden is null, as is what nobody tells."""
    broker = observation.broker
    hidden = {} if with_persons else {"address": None, "ivoid": None, "filters": None}
    silent = {} if with_persons else {"last_error": None}
    return {
        "observed_at": observation.moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "newest_event": observation.newest,
        "conflicts": observation.conflicts,
        "authors": broker.get("authors"),
        "subscriber_count": broker.get("subscriber_count"),
        "waiting_bytes": broker.get("waiting_bytes"),
        "processes": [_process(process) for process in observation.processes],
        "latencies": [_latency(quantiles) for quantiles in observation.quantiles],
        "events": broker.get("events", []),
        "answers": _counted("answer", broker.get("answers", {})),
        "subscribers": [subscriber | hidden for subscriber in broker.get("subscribers", ())],
        "dropped": _counted("reason", broker.get("dropped", {})),
        "upstreams": [_with_counts(upstream, "packets") for upstream in broker.get("upstreams", ())],
        "sources": [_with_counts(source, "messages") | silent for source in broker.get("sources", ())],
        "sinks": [asdict(sink) | silent for sink in observation.sinks],
    }


def _process(process: ProcessState) -> dict[str, Any]:
    return {
        "name": process.name,
        "status": "away" if process.stale else "up",
        "started_at": process.state["started_at"][:19],
        "seconds_ago": round(process.age.total_seconds(), 1),
    }


def _latency(quantiles: Quantiles) -> dict[str, Any]:
    times = {f"{name}_ms": getattr(quantiles, name) for name in ("p50", "p90", "p99")}
    return {"stage": quantiles.stage, "count": quantiles.count} | {
        name: None if seconds is None else round(1000 * seconds, 2) for name, seconds in times.items()
    }


def _with_counts(one: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object with its counts as one text, which is what fits into a table."""
    rest = {key: value for key, value in one.items() if key != "counts"}
    return rest | {name: ", ".join(f"{count} {outcome}" for outcome, count in sorted(one["counts"].items())) or "none"}


def _counted(name: str, counts: Mapping[str, int]) -> list[dict[str, Any]]:
    pairs: Iterable[tuple[str, int]] = sorted(counts.items())
    return [{name: value, "count": count} for value, count in pairs]
