"""One select loop over the keyboard and the server."""

import os
import select
import socket
import struct
import sys

flags = dict(zip(sys.argv[2::2], sys.argv[3::2]))
host, port = flags["-host"], int(flags["-port"])


def show(text):
    print(text, flush=True)


def send(text):
    data = text.encode()
    sock.sendall(struct.pack("!H", len(data)) + data)


def take(size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            sys.exit()
        data += more
    return data


def receive():
    (length,) = struct.unpack("!H", take(2))
    return take(length).decode()


sock = socket.create_connection((host, port))
send(flags["-username"] + "\n" + flags["-passcode"])
answer = receive()
if answer == "Incorrect passcode":
    show(answer)
    sys.exit()
show(f"Connected to {host} on port {port}")
typed = b""
try:
    while True:
        for ready in select.select([sock, 0], [], [])[0]:
            if ready is sock:
                show(receive())
                continue
            data = os.read(0, 4096)
            if not data:
                sys.exit()
            typed += data
            while b"\n" in typed:
                line, typed = typed.split(b"\n", 1)
                send(line.decode().rstrip("\r"))
                if line == b":Exit":
                    sys.exit()
except KeyboardInterrupt:
    pass
