"""Forwards what it reads to everyone else and looks at none of it: the practical limit."""

import contextlib
import selectors
import socket
import sys

READ_BYTES = 64 * 1024


def main(port):
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    listener.setblocking(False)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
    selector.register(listener, selectors.EVENT_READ)
    owed = {}  # who has joined -> what the kernel has not taken

    def accept():
        with contextlib.suppress(BlockingIOError):
            while True:
                peer, _ = listener.accept()
                peer.setblocking(False)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(peer, selectors.EVENT_READ)

    def forward(sender, data):
        for peer, pieces in owed.items():
            if peer is not sender:
                if pieces:
                    pieces.append(data)
                else:
                    send(peer, pieces, data)

    def send(peer, pieces, data):
        sent = 0
        with contextlib.suppress(BlockingIOError):
            sent = peer.send(data)
        if sent < len(data):
            if not pieces:
                selector.modify(peer, selectors.EVENT_READ | selectors.EVENT_WRITE)
            pieces.insert(0, memoryview(data)[sent:])

    def flush(peer):
        pieces = owed[peer]
        with contextlib.suppress(BlockingIOError):
            while pieces:
                sent = peer.sendmsg(pieces[:1024])
                while sent and len(pieces[0]) <= sent:
                    sent -= len(pieces.pop(0))
                if sent:
                    pieces[0] = memoryview(pieces[0])[sent:]
        if not pieces:
            selector.modify(peer, selectors.EVENT_READ)

    while True:
        for key, events in selector.select():
            peer = key.fileobj
            if peer is listener:
                accept()
                continue
            if events & selectors.EVENT_WRITE:
                flush(peer)
            if events & selectors.EVENT_READ:
                data = peer.recv(READ_BYTES)
                if not data:
                    selector.unregister(peer)
                    owed.pop(peer, None)
                    peer.close()
                elif peer in owed:
                    forward(peer, data)
                else:
                    owed[peer] = []
                    peer.send(b"OK\n")  # to JOIN


if __name__ == "__main__":
    main(int(sys.argv[1]))
