"""`stilts taplint`, all stages, over the demo: no errors; warnings and failures are those listed with their reasons."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.judges import stilts
from tests.support.service import Service

STAGES = tuple("TMV TME TMS TMC CPV CAP AVV QGE QPO QAS UWS MDQ OBS LOC UPL EXA".split())

LINE = re.compile(r"^([EWF])-(\w{3})-(\w{4})-\d+ (.*)")

EXPLAINED: dict[str, str] = {
    "F-LOC-NOTP": "there is no table of planned observations",
    "W-CAP-CULF": "COALESCE is announced by the identifier of ADQL 2.1, which STILTS 3.4 does not know yet",
}
"""Warnings and failures that stay, by code (`W-STA-CODE`), and why."""


@contextmanager
def schema_proxy(folder: Path) -> Iterator[list[str]]:
    """An HTTP proxy that answers *.xsd from a folder: taplint needs no network then. Gives options for Java."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = folder / Path(urlsplit(self.path).path).name
            found = wanted.suffix == ".xsd" and wanted.is_file()
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(wanted.read_bytes() if found else b"not here\n")

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        port = server.server_address[1]
        yield [
            "-Dhttp.proxyHost=127.0.0.1",
            f"-Dhttp.proxyPort={port}",
            "-Dhttp.nonProxyHosts=127.0.0.1|localhost",
        ]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.timeout(600)
def test_taplint_finds_nothing_unexplained(demo_service: Service, shared: Path) -> None:
    with schema_proxy(shared / "conformance" / "xsd") as java_options:
        done = stilts(
            *java_options,
            "taplint",
            f"tapurl={demo_service.url}/tap",
            f"stages={' '.join(STAGES)}",
            "report=EWFS",
            "maxrepeat=20",
            "truncate=500",
        )
    found = [match for line in done.stdout.splitlines() if (match := LINE.match(line))]
    unexplained = [m.group() for m in found if f"{m[1]}-{m[2]}-{m[3]}" not in EXPLAINED]
    assert set(re.findall(r"^Section (\w{3}):", done.stdout, re.M)) == set(STAGES), done.stdout + done.stderr
    assert "Totals:" in done.stdout
    assert unexplained == []
