"""Many clients at once: in a closed loop, each asking again when it is answered, or in an open one, by the clock."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from tests.benchmarks.client import Client, Server


@dataclass
class Load:
    """What came of many requests.

    Attributes
    ----------
    seconds
        From the first request to the last answer.
    latencies
        Times [s] of the answers that were OK; in an open loop from when the request was due.
    failed
        What else came, by kind.
    client_cpu
        CPU time [s] that this process used meanwhile.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    client_cpu: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def client_share(self) -> float:
        """The share of one core that the clients took."""
        return self.client_cpu / self.seconds


def closed_loop(
    server: Server, requests: Sequence[bytes], *, clients: int, seconds: float, keep_alive: bool = True
) -> Load:
    """So many clients that ask without pause, for a time; the requests are taken in turn."""
    until = time.perf_counter() + seconds

    def due(number: int) -> float | None:
        now = time.perf_counter()
        return now if now < until else None

    return _drive(server, requests, due, clients, keep_alive=keep_alive)


def open_loop(server: Server, requests: Sequence[bytes], *, rate: float, seconds: float, clients: int = 64) -> Load:
    """So many requests a second, whether the ones before are answered or not (up to `clients` of them)."""
    begin = time.perf_counter() + 0.05

    def due(number: int) -> float | None:
        return begin + number / rate if number < rate * seconds else None

    return _drive(server, requests, due, clients, keep_alive=True)


def _drive(
    server: Server,
    requests: Sequence[bytes],
    due: Callable[[int], float | None],
    clients: int,
    *,
    keep_alive: bool,
) -> Load:
    load = Load()
    numbers = count()  # next() of it is atomic

    def work() -> None:
        with Client(server, keep_alive=keep_alive, timeout=120) as client:
            while (begin := due(number := next(numbers))) is not None:
                time.sleep(max(0.0, begin - time.perf_counter()))
                try:
                    status = client.send(requests[number % len(requests)]).status
                except OSError as error:
                    client.close()
                    load.failed[type(error).__name__] += 1
                    continue
                if status == 200:
                    load.latencies.append(time.perf_counter() - begin)
                else:
                    load.failed[f"HTTP {status}"] += 1

    started, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(clients) as threads:
        for done in [threads.submit(work) for _ in range(clients)]:
            done.result()
    load.seconds, load.client_cpu = time.perf_counter() - started, time.process_time() - cpu
    return load


@contextmanager
def in_background(server: Server, request: bytes, clients: int) -> Iterator[Counter[str]]:
    """Clients that repeat a request until the block ends, four from each address; gives what they were answered.

    One that is sent away because the service is busy asks again after a tenth of a second.
    """
    outcomes: Counter[str] = Counter()
    stopped = threading.Event()
    running = [Client(server, timeout=600, source=f"127.0.0.{2 + number // 4}") for number in range(clients)]

    def work(client: Client) -> None:
        while not stopped.is_set():
            try:
                status = client.send(request).status
            except OSError as error:
                client.close()
                status = 0
                if not stopped.is_set():
                    outcomes[type(error).__name__] += 1
            if status:
                outcomes[f"HTTP {status}"] += 1
            if status != 200:
                stopped.wait(0.1)
        client.close()

    threads = [threading.Thread(target=work, args=(client,)) for client in running]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        stopped.set()
        for client in running:
            client.end()
        for thread in threads:
            thread.join()
