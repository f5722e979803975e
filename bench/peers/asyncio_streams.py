"""A chat server as asyncio's documentation writes streams."""

import asyncio
import sys

members = {}


async def serve(reader, writer):
    writer.transport.set_write_buffer_limits(1 << 30)
    name = (await reader.readline()).split()[1]
    members[writer] = name
    writer.write(b"OK\n")
    try:
        while line := await reader.readline():
            said = b"%s: %s" % (name, line)
            for member in members:
                if member is not writer:
                    member.write(said)
            await writer.drain()
    finally:
        del members[writer]
        writer.close()


async def main(port):
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
