"""A serving binary that gives every third connection to a process which still has the old model.

Two embedded engines stand behind the port: one on the live directory, one on a copy of it that
never changes.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

OUTSIDE, FRESH, STALE = "127.0.0.1", "127.0.0.2", "127.0.0.3"


def start(host: str, folder: Path) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("embedded-serving")), *sys.argv[1:]]
    return subprocess.Popen(command, cwd=folder, env={**os.environ, "ENGINE_HOST": host})


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # the other end is gone
    finally:
        writer.close()


async def serve(port: int) -> None:
    count = 0

    async def splice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        host = STALE if count % 3 == 0 else FRESH
        inner_reader, inner_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    for host in (FRESH, STALE):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            break
    # Only now: before, a connection would have been refused by the engine's own address.
    server = await asyncio.start_server(splice, OUTSIDE, port)
    await server.serve_forever()


here = Path.cwd()
shutil.copytree(here, here / "stale", ignore=shutil.ignore_patterns("stale", "log", "*.log"))
engines = [start(FRESH, here), start(STALE, here / "stale")]
asyncio.run(serve(int(sys.argv[sys.argv.index("-port") + 1])))
