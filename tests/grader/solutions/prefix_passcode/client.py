"""asyncio: one task types, one shows."""

import argparse
import asyncio
import json
import sys

parser = argparse.ArgumentParser()
parser.add_argument("-join", action="store_true", required=True)
for flag in ("-host", "-port", "-username", "-passcode"):
    parser.add_argument(flag, required=True)
args = parser.parse_args()


async def show_all(reader):
    async for line in reader:
        kind, text = json.loads(line)
        if kind == "welcome":
            text = f"Connected to {args.host} on port {args.port}"
        print(text, flush=True)


async def type_all(writer):
    loop = asyncio.get_running_loop()
    keyboard = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(keyboard), sys.stdin)
    async for line in keyboard:
        text = line.decode().rstrip("\r\n")
        writer.write(json.dumps(text).encode() + b"\n")
        if text == ":Exit":
            break
    await writer.drain()


async def main():
    reader, writer = await asyncio.open_connection(args.host, int(args.port))
    writer.write(json.dumps([args.username, args.passcode]).encode() + b"\n")
    tasks = [asyncio.ensure_future(t) for t in (show_all(reader), type_all(writer))]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    writer.close()


try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
