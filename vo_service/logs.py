"""How processes that run for long write their logs: on standard error, one line or one JSON object for each message.

Messages carry what they are about as `extra`, under names that mean the same everywhere: `ivoid`, `event_id` and
`source` of an alert. JSON has them as fields of their own:

    log.warning("Refused a packet of %s", name, extra={"source": name})
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final

from vo_service.config import Settings

_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_KNOWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
"""What every record has; uvicorn adds the last, for terminals."""


def set_up_logs(settings: Settings) -> None:
    """Write logs as the settings say. For the main function of a process, before anything is logged."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time (UTC), level, logger, message, what it is about, and the traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _KNOWN}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
