"""Threads. Mistake: takes what one recv() gives for one message."""

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


def receive():
    while text := sock.recv(1024).decode():
        show(text)
    os._exit(0)


sock = socket.create_connection((args.host, args.port))
sock.sendall(f"{args.username} {args.passcode}".encode())
answer = sock.recv(1024).decode()
if answer != "OK":
    show(answer)
    sys.exit(1)
show(f"Connected to {args.host} on port {args.port}")
threading.Thread(target=receive, daemon=True).start()
for line in sys.stdin:
    sock.sendall(line.rstrip("\r\n").encode())
    if line.strip() == ":Exit":
        break
