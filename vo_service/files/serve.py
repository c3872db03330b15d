"""Attached files over HTTP: with length, checksum, date, ETag and ranges (RFC 9110; RFC 9530 for the checksum)."""

from __future__ import annotations

import asyncio
import base64
import logging
from datetime import UTC
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from vo_service.dali.answer import ClientLeftError, unless_disconnected
from vo_service.files.conditions import refusal, wanted_range
from vo_service.files.register import Attachment
from vo_service.files.storage import CHUNK_BYTES, Opened, is_web, open_attached

log = logging.getLogger(__name__)


def file_path(attachment: Attachment) -> str:
    """The address of a file, relative to the root of the service."""
    return f"files/{attachment.attachment_id}/{quote(attachment.name, safe='')}"


async def file_response(request: Request, attachment: Attachment, directory: Path) -> Response:
    """The answer with a file: whole, or one range of it; several ranges are answered by the whole.

    Raises NotFoundError if it has been removed, UnavailableError if it has changed or cannot be read.
    """
    if attachment.location is not None and is_web(attachment.location):
        return RedirectResponse(attachment.location, 307, headers={"Repr-Digest": _headers(attachment)["Repr-Digest"]})
    # Conditions are for answers that would succeed (RFC 9110, section 13.2.1): first it must be there.
    opened = await asyncio.to_thread(open_attached, attachment, directory)
    answer = _answer(request, attachment, opened)
    if not isinstance(answer, _Content):
        await asyncio.to_thread(opened.file.close)
    return answer


def _answer(request: Request, attachment: Attachment, opened: Opened) -> Response:
    headers, size = _headers(attachment), attachment.content_length
    etag, last_modified = headers["ETag"], headers["Last-Modified"]
    status = refusal(request.headers, etag, attachment.modified_at.replace(microsecond=0))
    if status is not None:
        return Response(status_code=status, headers={"ETag": etag, "Last-Modified": last_modified})
    # Ranges are for GET alone (RFC 9110, section 14.2).
    asked = wanted_range(request.headers, etag, last_modified, size) if request.method == "GET" else None
    first, end = asked or (0, size)
    if asked is not None:
        if first >= end:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
        headers |= {"Content-Range": f"bytes {first}-{end - 1}/{size}", "Content-Length": str(end - first)}
    if request.method == "HEAD":
        return Response(headers=headers)
    return _Content(opened, (first, end), 200 if asked is None else 206, headers)


def _headers(attachment: Attachment) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(attachment.sha256)).decode()
    return {
        "Content-Type": attachment.content_type,
        "Content-Length": str(attachment.content_length),
        "Content-Disposition": f"inline; filename*=utf-8''{quote(attachment.name, safe='')}",
        "Accept-Ranges": "bytes",
        "ETag": f'"{attachment.sha256}"',
        "Last-Modified": format_datetime(attachment.modified_at.astimezone(UTC), usegmt=True),
        "Repr-Digest": f"sha-256=:{digest}:",
        # Its name before RFC 9530.
        "Digest": f"sha-256={digest}",
        # Pages that somebody attaches are not to act in the name of the service.
        "Content-Security-Policy": "sandbox",
        "X-Content-Type-Options": "nosniff",
    }


class _Content(Response):
    """Sends the bytes of a file from a first one to the one before an end, read in a thread; closes the file."""

    def __init__(self, opened: Opened, part: tuple[int, int], status: int, headers: dict[str, str]) -> None:
        super().__init__(status_code=status, headers=headers)
        self._opened = opened
        self._part = part

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_disconnected(receive, self._send(send))
        except ClientLeftError:
            log.info("The client left before it had the whole file")
        finally:
            await asyncio.to_thread(self._opened.file.close)

    async def _send(self, send: Send) -> None:
        """An answer that breaks off has no end, so that the server cuts the connection: the client sees that it is
        not whole."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        first, end = self._part
        try:
            await asyncio.to_thread(self._opened.file.seek, first)
            while first < end:
                data = await asyncio.to_thread(self._opened.file.read, min(CHUNK_BYTES, end - first))
                if not data:
                    raise EOFError("it has become shorter")  # noqa: TRY301
                first += len(data)
                await send({"type": "http.response.body", "body": data, "more_body": True})
        except Exception as error:  # each file system of fsspec has errors of its own
            log.warning("An attached file ended %d bytes before its end: %s", end - first, error)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
