"""What ought to be: plain lists of bytes for each connection, fed by what the server was told.

In: what passes between kernel and server, and the order in which the server took
what it received, as it shows at the door of its dispatcher. Out: for each connection the very bytes
it is to be sent, what the console is to show, and `faults`, all that was wrong.

The order is the server's to choose. That each line was really received, in its sender's order,
whole, once, and while its sender was a member, is checked here, and so is all that comes of it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from typing import NamedTuple

from chat.gate import ATTEMPT_SECONDS
from chat.session import ALL_PAGES, HANDSHAKE_SECONDS, WAITING_PAGES
from reactor.connection import LINGER_QUIET_SECONDS, LINGER_SECONDS, LINGER_TOTAL_SECONDS
from tests.simulation.limits import Limits
from tests.simulation.network import Address
from tests.simulation.patience import TOLERANCE_SECONDS, Patience
from tests.support import protocol
from tests.support.protocol import SERVER_FULL, SHUTTING_DOWN, Line, LineReader, Said

GONE_WITHIN_TURNS = 2
"""Turns after the one in which a member's end was received, until it has left."""


class Log:
    """All that was ever said to the room, and where each line of it ends."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._ends = [0]

    def add(self, text: str) -> None:
        self.data += f"{text}\n".encode()
        self._ends.append(len(self.data))

    def last_end(self, position: int) -> int:
        """Where the last line ends that ends at `position` or before."""
        return self._ends[bisect_right(self._ends, position) - 1]


class Stretch(NamedTuple):
    """Bytes that one connection is owed on end: a stretch of the log, or a line of its own, where
    the log's start and end are one."""

    owed_end: int  # counted from the first byte that it was ever owed
    log_start: int
    log_end: int
    own_bytes: int


class Peer:
    """One connection as it ought to be."""

    def __init__(self, address: Address, limits: Limits, now: float, log: Log) -> None:
        self.address = address
        self.accepted_at = self.received_at = now
        self.username = ""  # of a member
        self.has_echo = False  # it has asked by ENTER
        self.lines = LineReader(limits.max_join_bytes, limits.max_line_bytes)
        self.has_waited = False  # to be heard, when the last page was sent
        self.taken_lines = 0  # since then, or since it was read
        self.waits = 0  # for its turn, behind those with a lower number; 0 if it does not
        self.patience = Patience(limits)
        self.was_answered = self.is_dropped = False
        self.has_eof = self.has_failed = self.is_closed = False
        self.can_be_read = True  # whether or not it can be sent anything
        self.turns_since_end = 0
        self.ending_since = self.moved_at = math.inf
        self.untaken_bytes = 0  # by it, and known to the product, once it is ending
        self.was_tried = False  # to send it what it is owed
        self.received_since_ending = 0
        self.added_in_turn = 0
        self.most_added = 0  # in a turn before this one
        self.owed_bytes = 0  # at the end of the last turn
        self.kept_bytes = 0  # because of it then, at most
        self.own_bytes = 0  # owed to it alone; a line of which a part is sent counts whole
        self._owed = bytearray()
        self._owed_ever = 0
        self._stretches: deque[Stretch] = deque()
        self._skips: deque[int] = deque()  # bytes owed since the beginning before each
        self._log = log
        self._followed_to: int | None = None  # the end of what it is owed of the log, or ever was
        self._needs_from = len(log.data)

    @property
    def owed(self) -> bytearray:
        """What is to be sent to it, and is not yet."""
        start, end = self._followed_to, len(self._log.data)
        if start is not None and start < end:
            self._followed_to = end
            self._owe(self._log.data[start:end], start, end)
        return self._owed

    def follow(self) -> None:
        """From here on it is owed what is added to the log, and needs nothing before."""
        self._followed_to = self._needs_from = len(self._log.data)

    def unfollow(self) -> None:
        """It is not owed what is added to the log from here on."""
        assert self.owed is self._owed
        self._followed_to = None

    def skip(self, text: str) -> None:
        """Add this line to the log; it is not owed it."""
        assert self.owed is self._owed
        self._log.add(text)
        if self._followed_to is not None:
            self._followed_to = len(self._log.data)
            self._skips.append(self._owed_ever)

    def owe(self, text: str) -> None:
        """This line comes next for it alone."""
        assert self.owed is self._owed
        line = f"{text}\n".encode()
        log_bytes = len(self._log.data)
        self._owe(line, log_bytes, log_bytes, len(line))

    def fail(self) -> None:
        """Nothing that is owed to it will be sent any more."""
        self.has_failed = True
        self._owed.clear()
        self._stretches.clear()
        self.own_bytes = 0

    def take(self, data: bytes) -> bytes | None:
        """The kernel took this for it. If that is not what was due: what was."""
        owed = self.owed
        due = None if owed.startswith(data) else bytes(owed[: len(data) + 20])
        del owed[: len(data)]
        taken_ever = self._owed_ever - len(owed)
        while self._stretches and self._stretches[0].owed_end <= taken_ever:
            stretch = self._stretches.popleft()
            self._needs_from = stretch.log_end
            self.own_bytes -= stretch.own_bytes
        if self._stretches:
            owed_end, log_start, log_end, _ = self._stretches[0]
            line_end = self._log.last_end(log_end - (owed_end - taken_ever))
            if line_end > log_start:
                self._needs_from = line_end
        while self._skips and self._skips[0] < taken_ever:
            self._skips.popleft()
        return due

    @property
    def is_ending(self) -> bool:
        return self.ending_since < math.inf

    @property
    def waits_to_join(self) -> bool:
        """Whether it has asked to, and has no answer yet."""
        is_over = self.was_answered or self.has_failed or self.is_ending
        return bool(self.lines.lines) and not (is_over or self.is_closed)

    def count(self) -> None:
        """Set `owed_bytes` and `kept_bytes`."""
        self.owed_bytes = len(self.owed)
        self.kept_bytes = max(len(self._log.data) - self._needs_from, self.owed_bytes)

    @property
    def first_own_bytes(self) -> int:
        """How many of them are of a line that may be sent in part."""
        return self._stretches[0].own_bytes if self._stretches else 0

    @property
    def pieces(self) -> int:
        """Of how many pieces that is which is not yet sent to it, its own lines, which it is not
        to have, included."""
        return len(self._stretches) + len(self._skips)

    def _owe(self, data: bytes | bytearray, start: int, end: int, own_bytes: int = 0) -> None:
        if self.has_failed:
            return
        self._owed += data
        self.added_in_turn += len(data)
        self._owed_ever += len(data)
        self._stretches.append(Stretch(self._owed_ever, start, end, own_bytes))
        self.own_bytes += own_bytes


class Model:
    """Everyone, the console, and what was wrong. `is_anyone_waiting` tells whether somebody has
    connected who was not accepted yet, `is_lost` whether the kernel knows that the other end is
    gone. `now` is the process's own time when it woke last."""

    def __init__(
        self,
        limits: Limits,
        is_anyone_waiting: Callable[[], bool],
        is_lost: Callable[[Address], bool],
    ) -> None:
        self.now = 0.0
        self.peers: dict[Address, Peer] = {}
        self.members: dict[str, Peer] = {}  # username -> its connection, in the order they joined
        self.entering: dict[str, Peer] = {}  # the same of those who join when the turn ends
        self._entered: list[Peer] = []  # have joined, and are not let in
        self.console = bytearray()
        self.faults: list[str] = []
        self.log = Log()
        self.cuts = 0
        self.events = 0
        """How many things the dispatcher was asked."""
        self.has_lacked_descriptors = False
        self.is_shutting_down = False
        self._limits = limits
        self._is_anyone_waiting = is_anyone_waiting
        self._is_lost = is_lost
        self._judged: tuple[tuple[str, bytes, bool], str] | None = None
        self.is_late = False
        """Whether what is typed now had to wait."""
        self._waits = 0  # how often somebody had to wait
        self._wrong_at: dict[str, list[float]] = defaultdict(list)
        self._whole_at: dict[str, float] = defaultdict(float)  # when the budget of a source is

    def blame(self, fault: str) -> None:
        self.faults.append(fault)

    # What passes between kernel and server.

    def woke(self, now: float) -> None:
        self.now = now

    def accepted(self, address: Address) -> None:
        self.peers[address] = Peer(address, self._limits, self.now, self.log)

    def received(self, address: Address, data: bytes) -> None:
        peer = self.peers[address]
        if peer.has_eof:
            self.blame(f"{address}: read after the end")
        if not peer.is_ending:
            peer.lines.feed(data)
            peer.taken_lines = 0
            peer.received_at = self.now
        else:
            peer.received_since_ending += len(data)

    def ended(self, address: Address) -> None:
        peer = self.peers[address]
        if peer.has_eof:
            self.blame(f"{address}: the end was read twice")
        peer.has_eof = True
        if not peer.has_failed and peer.lines.lines and not peer.is_ending:
            self.blame(f"{address}: the end was read before {peer.lines.lines[0]!r} was taken")
        if not peer.username:
            peer.ending_since = min(peer.ending_since, self.now)

    def failed(self, address: Address, is_send: bool) -> None:
        peer = self.peers[address]
        peer.fail()
        peer.can_be_read &= is_send

    def taken(self, address: Address, data: bytes) -> None:
        peer = self.peers.get(address)
        if peer is None:
            self.blame(f"{address}: sent {data!r}, and was never accepted")
            return
        peer.patience.note_taken(len(data), self.now)
        due = peer.take(data)
        if due is not None:
            self.blame(f"{address} ({peer.username}): was sent {data!r}, due was {due!r}")

    def looked(self, address: Address, unsent_bytes: int) -> None:
        """The product looks how much this one, which is ending, has not taken."""
        peer = self.peers[address]
        untaken_bytes = unsent_bytes + len(peer.owed)
        if untaken_bytes != peer.untaken_bytes:
            peer.untaken_bytes, peer.moved_at = untaken_bytes, self.now

    def left_owing(self, address: Address) -> None:
        """It is tried to send something to this one, and the kernel may not take all."""
        self.peers[address].was_tried = True

    def closed(self, address: Address, is_reset: bool, has_unread: bool) -> None:
        peer = self.peers[address]
        peer.is_closed = True
        is_over = peer.is_dropped or peer.is_ending
        if has_unread and peer.has_failed and peer.can_be_read and not is_over:
            self.blame(f"{address} ({peer.username}): its last words were not read")
        if peer.is_dropped and peer.owed and not peer.was_tried:
            self.blame(f"{address}: no attempt was made to send it {bytes(peer.owed)!r}")
        if peer.has_failed or peer.is_dropped:
            return
        fault = self._fault_of_reset(peer) if is_reset else self._fault_of_close(peer, has_unread)
        if fault:
            self.blame(f"{address} ({peer.username}): closed, but {fault}")

    # What the server does with it, in this order.

    def judged(self, username: str, passcode: bytes, is_enter: bool) -> str:
        """A request to join is judged: the reason to refuse it, "" if there is none."""
        self._begin_event()
        names = [*self.members, *self.entering]
        reason = protocol.fault_of_join(username, passcode, names)
        self._judged = (username, passcode, is_enter), reason
        return reason

    def claimed(self, address: Address, username: str) -> None:
        """Somebody is to be let in when the turn ends."""
        peer = self.entering[username] = self._take_judgement(address, "")
        self._check_waiting(peer)
        peer.has_echo = peer.was_answered = True

    def joined(self, address: Address, username: str) -> None:
        """Somebody has joined, and is let in unless that comes later."""
        peer = self.entering.pop(username, None)
        if peer:
            self._entered.append(peer)
            if peer.address != address or peer.is_closed or peer.is_ending:
                self.blame(f"{username} was to join, and now {address} does, or it is gone")
        else:
            peer = self._take_judgement(address, "")
            self._check_waiting(peer)
            peer.was_answered = True
        peer.username = username
        self._carry_out(peer, protocol.joined(username))
        self.members[username] = peer
        if not peer.has_echo:
            peer.follow()  # from behind its own `joined`
            peer.owe("OK")

    def let_in(self) -> None:
        """All those who were to be let in when the turn ends are."""
        for username, peer in self.entering.items():
            if not (peer.is_closed or peer.is_ending):
                self.blame(f"{username} was not let in")
        self.entering.clear()
        for peer in self._entered:
            peer.follow()
            peer.owe("OK")
            peer.owe(protocol.users(self.members))
        self._entered.clear()

    def turned_away(self, address: Address, reason: str) -> None:
        """Somebody is not."""
        peer = self.peers[address]
        if self._judged:
            self._take_judgement(address, reason)
            if reason == protocol.INCORRECT_PASSCODE:
                self._note_wrong(address[0])
        elif fault := self._fault_of_refusal(peer, reason):
            self.blame(f"{address}: was told {reason!r}, but {fault}")
        peer.was_answered = True
        if peer.username:
            self.blame(f"{address} ({peer.username}): a member was turned away: {reason}")
        peer.owe(f"ERROR {reason}")
        peer.ending_since = self.now

    def dropped(self, address: Address, reason: str) -> None:
        """A stranger has to go at once, for somebody else."""
        if reason == SERVER_FULL and not self._is_anyone_waiting():
            self.blame(f"{address}: was dropped, and there is none to take its place")
        self.peers[address].is_dropped = True

    def cut(self, address: Address, username: str, reason: str) -> None:
        """The operator is told that a member was cut, and why."""
        peer = self.peers.get(address)  # None if it had ended before
        if peer and (not peer.is_closed or peer.username != username):
            self.blame(f"{address} {username}: is said to be cut, and is not")

    def refused_at_the_door(self, address: Address) -> bytes:
        """The next to be accepted is to be sent this, and to be closed."""
        self.has_lacked_descriptors = True
        peer = self.peers[address]
        peer.is_dropped = True
        peer.owe(f"ERROR {SERVER_FULL}")
        return bytes(peer.owed)

    def typed(self, username: str, line: Line) -> None:
        """A line of a member is taken, or refused because it is too long."""
        self._begin_event()
        peer = self.members.get(username)
        if peer is None:
            self.blame(f"{line!r} of {username}, who is no member")
            return
        if not peer.lines.lines or peer.lines.lines[0] != line:
            self.blame(f"took {line!r} of {username}, whose next are {peer.lines.lines[:2]}")
            return
        peer.lines.lines.pop(0)
        peer.taken_lines += 1
        if peer.own_bytes - peer.first_own_bytes >= self._limits.page_bytes:
            self.blame(f"{username} is heard, and {peer.own_bytes} bytes of its own are unsent")
        limit = self._limits.max_line_bytes
        said = protocol.meaning_of(line, username, self.members, limit, peer.has_echo)
        self._carry_out(peer, said)

    def heard(self, page_bytes: int, filled_bytes: int) -> None:
        """What was typed last is carried out, in a turn in which `filled_bytes` were said before.
        Those who had to wait have a page of each, so that floods keep no fresh line waiting."""
        pages = WAITING_PAGES if self.is_late else ALL_PAGES
        if filled_bytes >= pages * page_bytes:
            self.blame(f"{filled_bytes} bytes were said, and more is heard, late: {self.is_late}")

    def has_to_wait(self, address: Address, is_full: bool) -> None:
        """The next line of this one is not taken now. `is_full`: so it is with everyone's."""
        peer = self.peers[address]
        is_owed_too_much = peer.own_bytes >= self._limits.page_bytes
        has_had_its_turn = peer.has_waited or peer.taken_lines >= self._limits.lines_per_turn
        if not (is_owed_too_much or has_had_its_turn or is_full or peer.has_failed):
            self.blame(f"{peer.username} has to wait, and there is room for its line")
        self._waits += 1
        peer.waits = self._waits

    def page_was_sent(self) -> None:
        """What is said from here on belongs to the next turn, and those who wait come first."""
        for peer in self.peers.values():
            peer.has_waited = False
            peer.taken_lines = 0

    def goes_on(self, address: Address) -> None:
        """One who had to wait is heard, or judged."""
        peer = self.peers.get(address)  # None if it is gone
        if peer:
            if fault := self._fault_of_order(peer):
                self.blame(fault)
            peer.has_waited = True
            peer.waits = 0

    def left(self, username: str) -> None:
        """A member is gone, not by its own word."""
        self._begin_event()
        peer = self.members.get(username)
        if peer is None:
            self.blame(f"{username} left, and was no member")
            return
        if not (peer.has_eof or peer.has_failed or peer.is_closed):
            self.blame(f"{username} left, and nothing had happened to it")
        self._carry_out(peer, protocol.left(username))

    def shut_down(self) -> None:
        """The server ends."""
        self.is_shutting_down = True
        for peer in self.members.values():
            peer.owe(SHUTTING_DOWN)
            peer.unfollow()
        self.log.add(SHUTTING_DOWN)
        self.members.clear()
        for peer in self.peers.values():
            peer.ending_since = min(peer.ending_since, self.now)

    # The end of a turn.

    def end_turn(self) -> None:
        """Whatever ought to have happened by now has."""
        if self.entering or self._entered:
            self.blame(f"{[*self.entering]} are not in the room, and the turn has ended")
        for peer in list(self.peers.values()):
            peer.count()
            if peer.is_closed:
                if peer.turns_since_end > GONE_WITHIN_TURNS:
                    del self.peers[peer.address]
            elif fault := self._fault_of_living(peer):
                self.blame(f"{peer.address} ({peer.username}): {fault}")
            if peer.has_eof or peer.is_closed:
                self._check_gone(peer)
            if peer.added_in_turn:
                peer.most_added = max(peer.most_added, peer.added_in_turn)
                peer.added_in_turn = 0
        waiting = self._waiting_to_join()
        if any(count > self._limits.max_waiting_requests for count in waiting.values()):
            self.blame(f"so many wait to join: {waiting}")

    # Details.

    def _begin_event(self) -> None:
        self.events += 1
        if self._judged:
            self.blame(f"nothing came of judging {self._judged}")
            self._judged = None

    def _check_waiting(self, peer: Peer) -> None:
        if self.now > peer.received_at + TOLERANCE_SECONDS and self._is_lost(peer.address):
            self.blame(f"{peer.address} had to wait, is gone, and is let in all the same")

    def _take_judgement(self, address: Address, reason: str) -> Peer:
        peer = self.peers[address]
        judged, self._judged = self._judged, None
        request = peer.lines.lines.pop(0) if peer.lines.lines else None
        peer.taken_lines += 1
        if request is None or peer.was_answered or judged is None:
            self.blame(f"{address}: was answered {reason!r}, but asked for nothing")
            return peer
        if judged != (protocol.split_join(request), reason):
            self.blame(f"{address}: asked {request!r}, judged was {judged}, not {reason!r}")
        return peer

    def _note_wrong(self, source: str) -> None:
        wrong_at, now = self._wrong_at[source], self.now
        wrong_at.append(now)
        self._whole_at[source] = max(self._whole_at[source], now) + ATTEMPT_SECONDS
        for index, since in enumerate(wrong_at):
            more = (now - since + TOLERANCE_SECONDS) / ATTEMPT_SECONDS
            allowed = self._limits.burst_attempts + more
            if len(wrong_at) - index > allowed:
                self.blame(f"{source}: {len(wrong_at) - index} guesses since {since}")

    def has_guessed_too_often(self, source: str) -> bool:
        """Whether its requests may have to wait. The last of a burst may too, by the rounding of
        the sum that says when it is due, and others behind it."""
        return bool(len(self._wrong_at[source]) >= self._limits.burst_attempts - 1)

    def _waiting_to_join(self) -> Counter[str]:
        """How many of each source have asked to join and have no answer yet."""
        return Counter(peer.address[0] for peer in self.peers.values() if peer.waits_to_join)

    def _is_due(self, source: str, since: float = 0.0) -> bool:
        """Whether a request that came at `since` is to be judged by now."""
        due_at: float = self._whole_at[source] - (self._limits.burst_attempts - 1) * ATTEMPT_SECONDS
        return self.now > max(due_at, since) + TOLERANCE_SECONDS

    def _fault_of_refusal(self, peer: Peer, reason: str) -> str:
        is_malformed = bool(peer.lines.lines) and protocol.split_join(peer.lines.lines[0]) is None
        is_late = self.now >= peer.accepted_at + HANDSHAKE_SECONDS - TOLERANCE_SECONDS
        # One that has just died counts until its protocol has been told.
        strangers = [p for p in self.peers.values() if not p.username]
        is_right = {
            protocol.EXPECTED_JOIN: is_malformed,
            protocol.HANDSHAKE_TIMED_OUT: is_late and not peer.lines.lines,
            # After a stop, requests come before the timer that is due for those who wait.
            protocol.TOO_MANY_ATTEMPTS: not self._is_due(peer.address[0])
            or self._waiting_to_join()[peer.address[0]] > self._limits.max_waiting_requests,
            protocol.TOO_MANY_CONNECTIONS: len(strangers) > self._limits.pool_connections,
            SERVER_FULL: self.has_lacked_descriptors,
        }
        return "" if is_right.get(reason) else "there was no reason to"

    def _fault_of_order(self, heard: Peer) -> str:
        """Why this one, who had to wait, is not the next to be heard, "" if it is."""
        for peer in self.members.values():
            may_talk = peer.own_bytes < self._limits.page_bytes
            if 0 < peer.waits < heard.waits and may_talk:
                return f"{heard.username} is heard, and {peer.username} waits for longer"
        return ""

    def _carry_out(self, sender: Peer, said: Said) -> None:
        if said.leaves:
            del self.members[sender.username]
            sender.unfollow()
            sender.ending_since = self.now
            sender.lines.lines.clear()
        if said.console:
            self.console += said.console.encode() + b"\n"
        if said.to_room:
            # All members follow the log.
            add = self.log.add if said.to_sender else sender.skip
            add(said.to_room)
        for name, line in said.private:
            if name in self.members:  # one that joins is not, yet
                self.members[name].owe(line)

    def _fault_of_reset(self, peer: Peer) -> str:
        if self.now >= _lingers_until(peer) - TOLERANCE_SECONDS:
            return ""
        peer.count()
        fault = peer.patience.fault_of_cutting(peer.kept_bytes, self.now)
        if not fault:
            self.cuts += 1
        return f"there was no reason for a reset: {fault}" if fault else ""

    def _fault_of_close(self, peer: Peer, has_unread: bool) -> str:
        if not peer.is_ending:
            return "it had not ended"
        if peer.received_since_ending > self._limits.linger_bytes:
            return ""
        if has_unread or not peer.has_eof:
            return "its end had not been read, which makes it a reset"
        return f"it is owed {bytes(peer.owed[:100])!r}" if peer.owed else ""

    def _fault_of_living(self, peer: Peer) -> str:
        now = self.now
        if now > _lingers_until(peer) + TOLERANCE_SECONDS:
            return f"it is still there, and ended at {peer.ending_since}"
        if not (peer.is_ending or peer.was_answered):
            if now > peer.accepted_at + HANDSHAKE_SECONDS + TOLERANCE_SECONDS:
                return "it had no answer in time"
            if peer.waits_to_join and self._is_due(peer.address[0], peer.received_at):
                return "its turn to be judged has come"
        if peer.has_failed:
            return ""
        peer.patience.note_turn(peer.owed_bytes, peer.kept_bytes, now)
        most_bytes = self._limits.max_send_queue_bytes
        if peer.owed_bytes > most_bytes:
            # One that is found to drain well is not cut for what has come in the turn before that.
            most_bytes += max(peer.added_in_turn, peer.most_added)
            if peer.owed_bytes > most_bytes:
                return f"it is owed {peer.owed_bytes} bytes"
        return peer.patience.fault_of_sparing(now) if peer.username else ""

    def _check_gone(self, peer: Peer) -> None:
        peer.turns_since_end += 1
        is_member = self.members.get(peer.username) is peer
        if is_member and peer.turns_since_end > GONE_WITHIN_TURNS:
            self.blame(f"{peer.username} is still a member, and gone")


def _lingers_until(peer: Peer) -> float:
    since = peer.ending_since if math.isinf(peer.moved_at) else peer.moved_at
    patience = LINGER_QUIET_SECONDS if peer.untaken_bytes else LINGER_SECONDS
    return min(since + patience, peer.ending_since + LINGER_TOTAL_SECONDS)
