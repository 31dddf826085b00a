"""How lines of the log are written."""

from __future__ import annotations

import copy
import logging


class LineFormatter(logging.Formatter):
    """One line for each request that was refused; a traceback is for mistakes of our own.

    Django logs the exception behind a 4xx answer, too, whose message is in the line already.
    """

    def format(self, record: logging.LogRecord) -> str:
        if 400 <= getattr(record, "status_code", 0) < 500:
            # A copy, as other handlers may want to know more.
            record = copy.copy(record)
            record.exc_info = record.exc_text = None
        return super().format(record)
