"""Attached files over HTTP: with length, checksum, date, ETag and ranges (RFC 9110; RFC 9530 for the checksum)."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from datetime import UTC
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse

from vo_service.errors import UnavailableError
from vo_service.files.register import Attachment
from vo_service.files.storage import CHUNK_BYTES, is_web, local_path, opened

_RANGE = re.compile(r"bytes=\s*(\d*)\s*-\s*(\d*)\s*", re.ASCII)


class _File(FileResponse):
    chunk_size = CHUNK_BYTES


def file_path(attachment: Attachment) -> str:
    """The address of a file, relative to the root of the service."""
    return f"files/{attachment.attachment_id}/{quote(attachment.name, safe='')}"


def file_response(request: Request, attachment: Attachment, directory: Path) -> Response:
    """The answer with a file. Raises NotFoundError if it has been removed, UnavailableError if it has changed."""
    headers = _headers(attachment)
    if headers["ETag"] in _tags(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers={name: headers[name] for name in ("ETag", "Last-Modified")})
    location = attachment.location
    if location is None:
        return _File(local_path(attachment.sha256, directory), headers=headers)
    if is_web(location):
        return RedirectResponse(location, 307, headers={"Repr-Digest": headers["Repr-Digest"]})
    return _remote(request, attachment, location, headers)


def _headers(attachment: Attachment) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(attachment.sha256)).decode()
    return {
        "Content-Type": attachment.content_type,
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


def _tags(if_none_match: str) -> list[str]:
    """The tags of a header If-None-Match; they are compared weakly (RFC 9110, section 13.1.2)."""
    return [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]


def _remote(request: Request, attachment: Attachment, location: str, headers: dict[str, str]) -> Response:
    """A file that fsspec reads: whole, or one range of it; several ranges are answered by the whole."""
    size = attachment.content_length
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    unchanged = request.headers.get("if-range", headers["ETag"]) in (headers["ETag"], headers["Last-Modified"])
    first, end, status = 0, size, 200
    if asked and any(asked.groups()) and unchanged:
        first, end = _ends(asked[1], asked[2], size)
        if first >= end:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
        headers["Content-Range"], status = f"bytes {first}-{end - 1}/{size}", 206
    headers["Content-Length"] = str(end - first)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_pieces(attachment, location, first, end), status, headers)


def _ends(first: str, last: str, size: int) -> tuple[int, int]:
    """First byte of a range and the one after its last (RFC 9110, section 14.1.2); equal if there is none."""
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


async def _pieces(attachment: Attachment, location: str, first: int, end: int) -> AsyncIterator[bytes]:
    """The bytes of a file from `first` to the one before `end`, read in a thread."""
    context = opened(location)
    file = await asyncio.to_thread(context.__enter__)
    try:
        await asyncio.to_thread(file.seek, first)
        while first < end:
            data = await asyncio.to_thread(file.read, min(CHUNK_BYTES, end - first))
            if not data:
                raise UnavailableError(f"{attachment.name} is shorter than it was when it was attached")
            first += len(data)
            yield data
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)
