"""A chat server as Twisted's documentation writes one."""

import sys

from twisted.internet import protocol, reactor
from twisted.protocols.basic import LineReceiver


class Chat(LineReceiver):
    delimiter = b"\n"
    name = None

    def connectionMade(self):  # noqa: N802
        self.transport.setTcpNoDelay(True)

    def lineReceived(self, line):  # noqa: N802
        members = self.factory.members
        if self.name is None:
            self.name = line.split()[1]
            members.add(self)
            self.sendLine(b"OK")
            return
        for member in members:
            if member is not self:
                member.sendLine(b"%s: %s" % (self.name, line))

    def connectionLost(self, reason):  # noqa: N802
        self.factory.members.discard(self)


if __name__ == "__main__":
    factory = protocol.ServerFactory()
    factory.protocol = Chat
    factory.members = set()
    reactor.listenTCP(int(sys.argv[1]), factory, interface="127.0.0.1", backlog=1024)
    reactor.run()
