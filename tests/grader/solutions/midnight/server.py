"""Select. Mistake: an hour is added to the hour alone."""

import select
import socket
import struct
import sys
import time
from datetime import datetime

flags = dict(zip(sys.argv[2::2], sys.argv[3::2]))
port, passcode = int(flags["-port"]), flags["-passcode"]
TIME = "%a %b %d %H:%M:%S %Y"

buffers = {}  # socket -> bytes
names = {}  # socket -> name, once it has joined


def show(text):
    print(text, flush=True)


def later():
    now = datetime.now()
    return now.replace(hour=(now.hour + 1) % 24).strftime(TIME)


def pack(text):
    data = text.encode()
    return struct.pack("!H", len(data)) + data


def broadcast(text, but=None):
    show(text)
    for sock in list(names):
        if sock is not but:
            send(sock, text)


def send(sock, text):
    try:
        sock.sendall(pack(text))
    except OSError:
        pass


def drop(sock):
    buffers.pop(sock, None)
    sock.close()
    name = names.pop(sock, None)
    if name:
        broadcast(name + " left the chatroom")


def handle(sock, text):
    if sock not in names:
        name, given = text.split("\n")
        if given != passcode:
            send(sock, "Incorrect passcode")
            drop(sock)
            return
        send(sock, "Welcome")
        broadcast(name + " joined the chatroom")
        names[sock] = name
        return
    name = names[sock]
    words = text.split(" ", 2)
    if text == ":Exit":
        drop(sock)
    elif text == ":Users":
        show(name + ": searched up active users")
        send(sock, "Active Users: " + ", ".join(names.values()))
    elif words[0] == ":Msg" and len(words) == 3:
        for other, its_name in names.items():
            if its_name == words[1]:
                show(f"{name}: send message to {words[1]}")
                send(other, f"[Message from {name}]: {words[2]}")
    elif text == ":mytime":
        broadcast(name + ": " + time.strftime(TIME))
    elif text == ":+1hr":
        broadcast(name + ": " + later())
    else:
        text = text.replace(":)", "[feeling happy]").replace(":(", "[feeling sad]")
        broadcast(name + ": " + text, but=sock)


def receive(sock):
    try:
        data = sock.recv(4096)
    except OSError:
        data = b""
    if not data:
        drop(sock)
        return
    buffers[sock] += data
    while sock in buffers and len(buffers[sock]) >= 2:
        (length,) = struct.unpack("!H", buffers[sock][:2])
        if len(buffers[sock]) < 2 + length:
            break
        text = buffers[sock][2 : 2 + length].decode()
        buffers[sock] = buffers[sock][2 + length :]
        handle(sock, text)


listener = socket.socket()
listener.bind(("127.0.0.1", port))
listener.listen()
show(f"Server started on port {port}. Accepting connections")
try:
    while True:
        for sock in select.select([listener, *buffers], [], [])[0]:
            if sock is listener:
                buffers[listener.accept()[0]] = b""
            elif sock in buffers:
                receive(sock)
except KeyboardInterrupt:
    pass
