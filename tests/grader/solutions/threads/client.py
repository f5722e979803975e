"""Two threads: one types, one shows."""

import argparse
import os
import socket
import sys
import threading

parser = argparse.ArgumentParser()
parser.add_argument("-join", action="store_true")
parser.add_argument("-host")
parser.add_argument("-port", type=int)
parser.add_argument("-username")
parser.add_argument("-passcode")
args = parser.parse_args()


def show(text):
    print(text)
    sys.stdout.flush()


def receive(lines):
    for line in lines:
        show(line.rstrip("\n"))
    os._exit(0)


sock = socket.create_connection((args.host, args.port))
lines = sock.makefile("r", encoding="utf-8", newline="\n")
sock.sendall(f"{args.username} {args.passcode}\n".encode())
answer = lines.readline().strip()
if answer != "OK":
    show(answer)
    sys.exit(1)
show(f"Connected to {args.host} on port {args.port}")
threading.Thread(target=receive, args=(lines,), daemon=True).start()
for line in sys.stdin:
    sock.sendall(line.rstrip("\n").encode() + b"\n")
    if line.strip() == ":Exit":
        break
