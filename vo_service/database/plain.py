"""The sockets of connections on which nothing is encrypted: there we can speak PostgreSQL's protocol ourselves."""

from __future__ import annotations

import os
import socket

from psycopg import pq

ENCRYPTED_BY_KERBEROS = "SELECT encrypted FROM pg_stat_gssapi WHERE pid = pg_backend_pid()"
"""What libpq does not tell. Nothing is encrypted so that goes through a Unix socket."""


def plain_socket(libpq: pq.abc.PGconn) -> socket.socket | None:
    """The connection's socket, in the mode it is in, to be closed; None if TLS goes through it."""
    return None if libpq.ssl_in_use else socket.socket(fileno=os.dup(libpq.socket))
