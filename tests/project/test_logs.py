"""What somebody sends cannot pass for another line of the log."""

from __future__ import annotations

import logging

import pytest

from project.logs import LineFormatter


def line(message: str, **more: object) -> str:
    record = logging.makeLogRecord({"msg": message, "levelname": "WARNING", **more})
    return LineFormatter("{levelname} {message}", style="{").format(record)


@pytest.mark.parametrize("forged", ["\n", "\r\n", "\x1b[2K", "\x85", "\u2028", "\0"])
def test_control_characters_are_written_as_python_writes_them(forged: str) -> None:
    written = line(f"Bad Request: {forged}INFO all is well")
    assert forged not in written
    assert written.splitlines() == [written]
    assert repr(forged)[1:-1] in written


def test_other_characters_are_left() -> None:
    assert line("Ünïcode “quotes” 日本 é") == "WARNING Ünïcode “quotes” 日本 é"


@pytest.mark.parametrize(("status", "lines"), [(400, 1), (404, 1), (500, 2)])
def test_a_traceback_is_for_mistakes_of_our_own(status: int, lines: int) -> None:
    error = (ValueError, ValueError("why"), None)
    assert len(line("GET /", status_code=status, exc_info=error).splitlines()) == lines
