"""A chat server as asyncio's documentation writes streams. With `--announce`, it tells everyone who
joins."""

import asyncio
import sys

ANNOUNCES = "--announce" in sys.argv

members = {}


async def serve(reader, writer):
    writer.transport.set_write_buffer_limits(1 << 30)
    name = (await reader.readline()).split()[1]
    members[writer] = name
    writer.write(b"OK\n")
    if ANNOUNCES:
        tell(writer, b"%s joined the chatroom\n" % name)
    try:
        while line := await reader.readline():
            tell(writer, b"%s: %s" % (name, line))
            await writer.drain()
    finally:
        del members[writer]
        writer.close()


def tell(writer, said):
    for member in members:
        if member is not writer:
            member.write(said)


async def main(port):
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
