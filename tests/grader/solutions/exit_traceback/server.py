"""A thread for each client; lines ended by a newline."""

import argparse
import socket
import sys
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("-start", action="store_true")
parser.add_argument("-port", type=int)
parser.add_argument("-passcode")
args = parser.parse_args()

clients = {}
lock = threading.Lock()


def show(text):
    print(text)
    sys.stdout.flush()


def send(name, text):
    try:
        clients[name].sendall(text.encode() + b"\n")
    except (KeyError, OSError):
        pass


def send_others(sender, text):
    for name in list(clients):
        if name != sender:
            send(name, text)


def handle(name, line):
    """False when the client leaves."""
    if line == ":Exit":
        return False
    if line == ":Users":
        show(f"{name}: searched up active users")
        send(name, "Active Users: " + ", ".join(clients))
    elif line.startswith(":Msg ") and line.count(" ") >= 2:
        _, to, text = line.split(" ", 2)
        if to in clients:
            show(f"{name}: send message to {to}")
            send(to, f"[Message from {name}]: {text}")
    elif line in (":mytime", ":+1hr"):
        text = f"{name}: " + time.ctime(time.time() + (3600 if line == ":+1hr" else 0))
        show(text)
        send_others(None, text)
    else:
        line = {":)": "[feeling happy]", ":(": "[feeling sad]"}.get(line, line)
        show(f"{name}: {line}")
        send_others(name, f"{name}: {line}")
    return True


def serve(conn):
    lines = conn.makefile("r", encoding="utf-8", newline="\n")
    name, _, passcode = lines.readline().strip().partition(" ")
    if passcode != args.passcode:
        conn.sendall(b"Incorrect passcode\n")
        conn.close()
        return
    with lock:
        conn.sendall(b"OK\n")
        clients[name] = conn
        show(f"{name} joined the chatroom")
        send_others(name, f"{name} joined the chatroom")
    try:
        for line in lines:
            with lock:
                if not handle(name, line.strip("\r\n")):
                    break
    except OSError:
        pass
    with lock:
        del clients[name]
        show(f"{name} left the chatroom")
        send_others(name, f"{name} left the chatroom")
    conn.close()


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", args.port))
listener.listen(50)
show(f"Server started on port {args.port}. Accepting connections")
while True:
    conn, _ = listener.accept()
    threading.Thread(target=serve, args=(conn,), daemon=True).start()
