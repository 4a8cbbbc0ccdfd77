"""The peer that is a Python program too: aiosmtpd with a handler that drops every message.

``python -m benchmarks.aiosmtpd_peer PORT`` serves until it is killed.
"""

from __future__ import annotations

import asyncio
import sys

from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP


async def serve(port: int) -> None:
    # Its cheapest setup: the loop in the main thread, where its Controller starts another thread,
    # and a name given, which it would look up for every connection.
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Sink(), hostname="localhost", loop=loop), "127.0.0.1", port, backlog=500
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
