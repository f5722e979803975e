"""A chat server with a thread for each client, as textbooks write it."""

import socket
import sys
import threading

members = {}
lock = threading.Lock()


def serve(connection):
    with connection, connection.makefile("rb") as lines:
        name = lines.readline().split()[1]
        with lock:
            members[connection] = name
            connection.sendall(b"OK\n")
        for line in lines:
            said = b"%s: %s" % (name, line)
            with lock:
                for member in members:
                    if member is not connection:
                        member.sendall(said)
        with lock:
            del members[connection]


def main(port):
    threading.stack_size(256 * 1024)
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listener:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]))
