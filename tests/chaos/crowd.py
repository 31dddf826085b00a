"""Clients who want connections and keep them: python -m tests.chaos.crowd URL NUMBER.

Whoever loses one, or gets none, asks again a little later.
"""

from __future__ import annotations

import asyncio
import random
import sys

import psycopg

# Seconds between two attempts, and between two looks at a connection.
SHORTEST, LONGEST = 0.5, 2.0


async def pause() -> None:
    await asyncio.sleep(random.uniform(SHORTEST, LONGEST))  # noqa: S311  # a pause, no secret


async def hold_on(url: str) -> None:
    while True:
        await pause()
        try:
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                while True:
                    await pause()
                    await connection.execute("SELECT 1")
        except psycopg.OperationalError:
            continue


async def main(url: str, number: int) -> None:
    await asyncio.gather(*(hold_on(url) for _ in range(number)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
