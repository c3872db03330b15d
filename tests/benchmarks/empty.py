"""The floor of every request: an answer that takes no work, by the same web server, in a process of its own."""

from __future__ import annotations

import uvicorn
from starlette.types import Receive, Scope, Send

from vo_service.server import address_of, listen

BODY = b"x" * 2000
"""As long as the answer to a small cone search."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers everything alike."""
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def main() -> None:
    listener = listen("127.0.0.1", 0)
    listener.listen(2048)  # from now on clients can connect, and wait
    print(address_of(listener), flush=True)
    config = uvicorn.Config(app, log_config=None, log_level="warning", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
