"""asyncio; each message is JSON on a line."""

import argparse
import asyncio
import json
import time

parser = argparse.ArgumentParser()
parser.add_argument("-start", action="store_true", required=True)
parser.add_argument("-port", type=int, required=True)
parser.add_argument("-passcode", required=True)
args = parser.parse_args()

room = {}


def show(text):
    print(text, flush=True)


def send(writer, kind, text):
    writer.write(json.dumps([kind, text]).encode() + b"\n")


def to_all(text, but=None):
    show(text)
    for name, writer in room.items():
        if name != but:
            send(writer, "text", text)


def obey(name, writer, text):
    code, _, rest = text.partition(" ")
    if text == ":Users":
        show(name + ": searched up active users")
        send(writer, "text", "Active Users: " + ", ".join(room))
    elif code == ":Msg" and " " in rest:
        to, _, message = rest.partition(" ")
        if to in room:
            show(f"{name}: send message to {to}")
            send(room[to], "text", f"[Message from {name}]: {message}")
    elif text in (":mytime", ":+1hr"):
        to_all(f"{name}: " + time.ctime(time.time() + 3600 * (text == ":+1hr")))
    else:
        words = {":)": "[feeling happy]", ":(": "[feeling sad]"}
        text = " ".join(words.get(word, word.removeprefix("\\")) for word in text.split(" "))
        to_all(f"{name}: {text}", but=name)


async def serve(reader, writer):
    name, passcode = json.loads(await reader.readline())
    if passcode != args.passcode:
        send(writer, "refused", "Incorrect passcode")
        writer.close()
        return
    send(writer, "welcome", "")
    to_all(name + " joined the chatroom")
    room[name] = writer
    try:
        async for line in reader:
            text = json.loads(line)
            if text == ":Exit":
                break
            obey(name, writer, text)
    except OSError:
        pass
    del room[name]
    to_all(name + " left the chatroom")
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", args.port)
    show(f"Server started on port {args.port}. Accepting connections")
    await server.serve_forever()


try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
