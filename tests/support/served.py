"""The app over a database of the test, on a real socket, in a thread of the test's process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from vo_service.app import create_app
from vo_service.config import load_settings
from vo_service.database.access import Access


@contextmanager
def served(access: Access, **options: object) -> Iterator[str]:
    """Serve what is published in a database while the block runs; gives the base address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        app = create_app(load_settings(port=listener.getsockname()[1], **options), access)
        runner = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [listener]})
        thread.start()
        while not runner.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            runner.should_exit = True
            thread.join()
