"""A chat server as asyncio's documentation writes protocols. With `--uvloop`, on uvloop; with
`--announce`, it tells everyone who joins."""

import asyncio
import sys

ANNOUNCES = "--announce" in sys.argv
LIMIT = 1 << 30  # of what is buffered for one member: no sender is throttled


class Chat(asyncio.Protocol):
    members = {}  # noqa: RUF012

    def connection_made(self, transport):
        self.transport = transport
        self.unfinished = b""
        transport.set_write_buffer_limits(LIMIT)

    def data_received(self, data):
        *lines, self.unfinished = (self.unfinished + data).split(b"\n")
        for line in lines:
            self.line_received(line)

    def line_received(self, line):
        name = self.members.get(self.transport)
        if name is not None:
            self.tell(b"%s: %s\n" % (name, line))
            return
        name = self.members[self.transport] = line.split()[1]
        self.transport.write(b"OK\n")
        if ANNOUNCES:
            self.tell(b"%s joined the chatroom\n" % name)

    def tell(self, said):
        for member in self.members:
            if member is not self.transport:
                member.write(said)

    def connection_lost(self, error):
        self.members.pop(self.transport, None)


async def main(port):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Chat, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    if "--uvloop" in sys.argv:
        import uvloop

        uvloop.install()
    asyncio.run(main(int(sys.argv[1])))
