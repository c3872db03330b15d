"""An observation as metrics of Prometheus (text format 0.0.4). Nothing here names an author or a subscriber.

Names follow its conventions: base units, `_total` at the end of counters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from voevent.operations.latency import BOUNDS
from voevent.operations.observation import Observation

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_PREFIX: Final = "vo_service_alerts"


def exposition(observation: Observation) -> bytes:
    """The metrics as the body of an answer."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Observed(observation))
    return generate_latest(registry)


class _Observed(Collector):
    """One observation, collected once."""

    def __init__(self, observation: Observation) -> None:
        self._observation = observation

    def collect(self) -> Iterator[Metric]:
        yield from _of_processes(self._observation)
        yield from _of_archive(self._observation)
        # A broker that does not report leaves gaps, not zeros and not values of the past.
        if broker := self._observation.broker:
            yield from _of_conversations(broker)
            yield from _of_upstreams(broker)
            yield from _of_sources(broker)
            yield from _of_events(broker)


def _of_processes(observation: Observation) -> Iterator[Metric]:
    up = _gauge("process_up", "Whether a process has reported within 10 seconds", "process")
    age = _gauge("process_age_seconds", "Time since a process was started", "process")
    for process in observation.processes:
        up.add_metric([process.name], 0 if process.stale else 1)
        if not process.stale:
            started = datetime.fromisoformat(process.state["started_at"])
            age.add_metric([process.name], (observation.moment - started).total_seconds())
    yield from (up, age)


def _of_archive(observation: Observation) -> Iterator[Metric]:
    newest = _gauge("newest_event", "Number of the newest event; its rate is that of all events")
    newest.add_metric([], observation.newest)
    conflicts = _counter("conflicts", "Packets refused because others are known under their identifiers")
    conflicts.add_metric([], observation.conflicts)
    behind = _gauge("sink_behind_events", "Events that wait for a sink", "sink")
    failures = _gauge("sink_failures", "Attempts of a sink since its last delivery", "sink")
    for sink in observation.sinks:
        behind.add_metric([sink.name], sink.behind)
        failures.add_metric([sink.name], sink.failures)
    yield from (newest, conflicts, behind, failures)


def _of_conversations(broker: Mapping[str, Any]) -> Iterator[Metric]:
    authors = _gauge("author_connections", "Authors who are connected by VTP")
    authors.add_metric([], broker["authors"])
    answers = _counts("author_answers", "Conversations with authors by what came of them", "answer", broker["answers"])
    subscribers = _gauge("subscribers", "Subscribers who are connected by VTP")
    subscribers.add_metric([], broker["subscriber_count"])
    waiting = _gauge("subscriber_waiting_bytes", "Bytes that wait for subscribers, of all and of the slowest", "of")
    waiting.add_metric(["all"], broker["waiting_bytes"])
    waiting.add_metric(["slowest"], broker["slowest_bytes"])
    dropped = _counts("subscribers_dropped", "Subscribers that were cut off", "reason", broker["dropped"])
    yield from (authors, answers, subscribers, waiting, dropped)


def _of_upstreams(broker: Mapping[str, Any]) -> Iterator[Metric]:
    connected = _gauge("upstream_connected", "Whether another broker is connected", "upstream")
    packets = _counter("upstream_packets", "Packets of another broker by what came of them", "upstream", "outcome")
    for upstream in broker["upstreams"]:
        connected.add_metric([upstream["address"]], int(upstream["connected"]))
        for outcome, count in upstream["counts"].items():
            packets.add_metric([upstream["address"], outcome], count)
    yield from (connected, packets)


def _of_sources(broker: Mapping[str, Any]) -> Iterator[Metric]:
    connected = _gauge("source_connected", "Whether a stream is connected", "source", "kind")
    lag = _gauge("source_lag_messages", "Messages of a stream that are not read, where that is known", "source", "kind")
    messages = _counter("source_messages", "Messages of a stream by what came of them", "source", "kind", "outcome")
    for source in broker["sources"]:
        labels = [source["name"], source["kind"]]
        connected.add_metric(labels, int(source["connected"]))
        if source["lag"] is not None:
            lag.add_metric(labels, source["lag"])
        for outcome, count in source["counts"].items():
            messages.add_metric([*labels, outcome], count)
    yield from (connected, lag, messages)


def _of_events(broker: Mapping[str, Any]) -> Iterator[Metric]:
    events = _counter("events", "Events that were stored since the broker was started", "role", "source")
    for one in broker["events"]:
        events.add_metric([one["role"], one["source"]], one["count"])
    latency = HistogramMetricFamily(
        f"{_PREFIX}_latency_seconds",
        "Time from an event's arrival to its storage (stage stored), and from there to each other stage",
        labels=["stage"],
    )
    for stage, histogram in broker["latencies"].items():
        total, buckets = 0, []
        for bound, count in zip([*map(str, BOUNDS), "+Inf"], histogram["counts"], strict=True):
            total += count
            buckets.append((bound, float(total)))
        latency.add_metric([stage], buckets, histogram["sum"])
    yield from (events, latency)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", text, labels=labels)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"{_PREFIX}_{name}", text, labels=labels)


def _counts(name: str, text: str, label: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    metric = _counter(name, text, label)
    for value, count in counts.items():
        metric.add_metric([value], count)
    return metric
