"""Reading ahead: the next item is made in a thread while the last one is worked on."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The same items, one of them ready in advance; for work that is done outside Python's lock."""
    end = object()
    try:
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as executor:
            upcoming = executor.submit(next, items, end)
            while (item := upcoming.result()) is not end:
                upcoming = executor.submit(next, items, end)
                yield item  # type: ignore[misc]
    finally:
        if isinstance(items, Generator):
            items.close()
