"""How lines of the log are written."""

from __future__ import annotations

import copy
import logging

# A line break, or what moves a terminal's cursor, could pass for another line.
CONTROLS = {code: repr(chr(code))[1:-1] for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}


class LineFormatter(logging.Formatter):
    """One line for each message, and a traceback for mistakes of our own alone.

    Django logs the exception behind a 4xx answer, too, whose message is in the line already. What
    somebody sent may be in it, so control characters are written as Python writes them.
    """

    def format(self, record: logging.LogRecord) -> str:
        if 400 <= getattr(record, "status_code", 0) < 500:
            # A copy, as other handlers may want to know more.
            record = copy.copy(record)
            record.exc_info = record.exc_text = None
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # overridden
        return super().formatMessage(record).translate(CONTROLS)
