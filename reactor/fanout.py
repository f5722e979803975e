"""One log, many cursors: the same bytes for thousands, without a copy for each.

In: `broadcast(data)` for everyone, and for one member alone `write` on its connection, in any
order. Out: every member gets, in that order, all that was broadcast while it was subscribed and
not skipped, and all that was written to it. The work is O(messages + members), not their product:

- The log is one sequence of bytes with absolute positions, which only grows. All that is
  broadcast in one turn is joined once, when the turn ends, into one immutable page.
- A member owns no copy. It has a *cursor*: a position in the log, and a short list of *splices*,
  each "at this position leave out so many bytes" (its own line) or "at this position put these
  bytes in" (a private line). A member at the end of the log and without splices gets the new page
  in one `send`, by reference.
- Pages before the slowest cursor are dropped. A thousand slow readers share one log: memory is
  bounded by the slowest of them, never by their sum, and that one by `reactor.flow`.

The log holds bytes and members; what they mean is somebody else's subject.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Annotated, NamedTuple

from reactor.connection import OPEN, Connection
from reactor.flow import Lag, SlowReaderError
from reactor.log import Log
from reactor.loop import Reactor
from reactor.outbound import MAX_PIECES, Bytes
from reactor.timers import Timer

PAGE_BYTES: Annotated[
    int,
    "The unit in which a turn is fed, at most: lines that had to wait fill one page of it, and all "
    "lines together two.",
] = 256 * 1024

MIN_PAGE_BYTES: Annotated[
    int,
    "What a page may always hold, however many members there are: each send costs the same anyway.",
] = 4 * 1024

TURN_SECONDS: Annotated[
    float,
    "How long the sends of a turn should take: a line may wait for the end of one, and for its "
    "own. By CPU time, or a busy machine would make turns small.",
] = 0.02

MIN_TURN_BYTES: Annotated[
    int,
    "What a page for each member comes to, all members together, in the first turn of a "
    "flood. The next is as large as TURN_SECONDS allow at the pace of the last: a kernel that "
    "takes 4 GB/s for members who read may take a twentieth of that for those who do not, since "
    "it has to find memory for all of it.",
] = 4 * 1024 * 1024

MAX_TURN_BYTES: Annotated[
    int,
    "The most. Large turns are worth it: with 64 MiB a thousand members are served "
    "1.2 times as fast as with 32, and 1.6 times as fast as with 16.",
] = 64 * 1024 * 1024

MAX_PRIVATE_BYTES: Annotated[
    int,
    "What may be unsent of all that was written to single members, in sum. The log is shared "
    "however many do not read it, and this is not: beyond it those who are owed most of it "
    "are cut.",
] = 32 * 1024 * 1024

_SHARED_SPLICES = 4
"""How many of a member's first splices may hold what newcomers share, which counts once: an answer
and three texts."""

RETRY_SECONDS: Annotated[
    float,
    "How long to wait after a turn that could not be ended, for want of memory say.",
] = 0.1


class Splice(NamedTuple):
    """At `start`, put `data` in and go on at `end`, which is never before `start`."""

    start: int
    end: int
    data: Bytes


_NO_SPLICES: deque[Splice] = deque()  # never changed; an empty deque of one's own takes 760 bytes


class Cursor:
    """What one member is owed: an Outbound whose bytes lie in the log, but for the splices."""

    __slots__ = (
        "_fanout",
        "_is_discarded",
        "_splice_bytes",
        "_start",
        "_stop",
        "connection",
        "position",
        "private_bytes",
        "splices",
    )

    def __init__(self, fanout: Fanout, connection: Connection) -> None:
        self._fanout = fanout
        self._splice_bytes = 0  # how many bytes the splices add; below 0 when they leave out more
        self.private_bytes = 0
        """How many of the bytes it is owed were written to this member alone."""
        self._is_discarded = False
        self._stop: int | None = None  # where the log ends for one who has unsubscribed
        self.connection = connection
        self.position = self._start = fanout.log.end
        self.splices = _NO_SPLICES

    @property
    def owed_bytes(self) -> int:
        return self._end - self.position + self._splice_bytes

    @property
    def unsent_bytes(self) -> int:
        """The same, of one that has no connection too."""
        return self.owed_bytes

    @property
    def has_private_backlog(self) -> bool:
        """Whether a page's worth waits that was written to this member alone: it had better read
        before it asks for more. What it shares with others costs nothing more for being owed."""
        return self.private_bytes >= PAGE_BYTES

    @property
    def needed_from(self) -> int:
        """From where on the log has to be kept for this member."""
        return self._fanout.log.end if self.position == self._end else self.position

    @property
    def kept_bytes(self) -> int:
        """How many bytes are kept because of this member: all of the log from there on, whether
        the member is to get it or not, or all that it is owed if that is more."""
        return max(self._fanout.log.end - self.needed_from, self.owed_bytes)

    @property
    def taken_bytes(self) -> int:
        """How many bytes of the log it has taken since it came, its own lines among them."""
        return self.position - self._start

    def append(self, data: bytes) -> None:
        self._add_splice(Splice(self._end, self._end, data))
        self._fanout.note_owed(self)

    def skip(self, start: int) -> None:
        """Leave out what the log holds from `start` to its end."""
        if self._stop is not None:
            return
        splices = self.splices
        if splices and splices[-1].end == start and not splices[-1].data:
            last = splices.pop()
            self._splice_bytes += last.end - last.start
            start = last.start
        self._add_splice(Splice(start, self._end, b""))

    def stop(self) -> None:
        """Owe nothing that is appended to the log from here on."""
        self._stop = self._end

    def pieces(self) -> list[Bytes]:
        self.pass_skips()
        log = self._fanout.log
        pieces: list[Bytes] = []
        position = self.position
        for start, end, data in self.splices:
            if start > log.sealed_end:
                break
            pieces += log.between(position, start)
            if data:
                pieces.append(data)
            position = end
            if len(pieces) >= MAX_PIECES:
                return pieces[:MAX_PIECES]
        pieces += log.between(position, min(self._end, log.sealed_end))
        return pieces[:MAX_PIECES]

    def advance(self, sent_bytes: int) -> None:
        self._fanout.note_sent(self, sent_bytes)
        if sent_bytes == self.owed_bytes:
            self.position, self.splices = self._end, _NO_SPLICES
            self._splice_bytes = self.private_bytes = 0
            return
        while sent_bytes:
            self.pass_skips()
            splice = self.splices[0] if self.splices else None
            if splice and splice.start == self.position:
                step = min(sent_bytes, len(splice.data))
                self.splices.popleft()
                if step < len(splice.data):
                    self.splices.appendleft(splice._replace(data=memoryview(splice.data)[step:]))
                self._splice_bytes -= step
                self.private_bytes -= step
            else:
                step = min(sent_bytes, (splice.start if splice else self._end) - self.position)
                self.position += step
            if not step:
                raise ValueError("more was sent than is owed")
            sent_bytes -= step

    def discard(self) -> None:
        self._fanout.forget(self)
        self._is_discarded = True
        self.splices = _NO_SPLICES
        self._splice_bytes = self.private_bytes = 0
        self._stop = self.position

    def pass_skips(self) -> None:
        """Go past what is left out here."""
        splices = self.splices
        while splices and splices[0].start == self.position and not splices[0].data:
            self._splice_bytes += splices[0].end - self.position
            self.position = splices.popleft().end
        if not splices:
            self.splices = _NO_SPLICES

    @property
    def _end(self) -> int:
        return self._fanout.log.end if self._stop is None else self._stop

    def _add_splice(self, splice: Splice) -> None:
        if not self._is_discarded:
            if self.splices is _NO_SPLICES:
                self.splices = deque()
            self.splices.append(splice)
            self.private_bytes += len(splice.data)
            self._splice_bytes += len(splice.data) - (splice.end - splice.start)


class Fanout:
    """The log, its members, and the end of their turn.

    `after_turn` is called at the end of each turn in which something was queued, sent, or judged:
    the moment to resume members that were paused by a full page, a hold or their own backlog. What
    they add belongs to the next turn, which follows at once.
    """

    def __init__(self, reactor: Reactor, after_turn: Callable[[], None]) -> None:
        self.log = Log()
        self.held_pages = 0
        """How many pages of each turn are not given out, for the sake of a slow reader."""
        self._reactor = reactor
        self._after_turn = after_turn
        self.find_floor: Callable[[int], int] | None = None
        """Told at the end of a turn from where on the log is needed; answers from where it is to be
        kept, for members that may have lost what was sent (reactor.keeper)."""
        self._live: dict[Cursor, None] = {}
        self._lags: dict[Cursor, Lag] = {}  # of members that are not at the end, or just were not
        self._turn_bytes = MIN_TURN_BYTES
        self._has_failed_turn = False  # the last turn failed: some members were not served
        self._is_turn_queued = False
        self._judgement: Timer | None = None

    # For what feeds it.

    def free_bytes(self, max_pages: int = 1) -> int:
        """How much more this turn may be fed, if it is to send no more than `max_pages`; feed no
        more than that until it has ended."""
        pages = max_pages - self.held_pages
        return pages * self._page_bytes - (self.log.end - self.log.sealed_end)

    def subscribe(self, connection: Connection, cursor: Cursor | None = None) -> Cursor:
        """From here on, in the order of the calls, `connection` gets what is broadcast. Nothing
        may be owed on it yet. What is written to it takes its place among the broadcasts. A new
        `cursor` may be given: one of another kind."""
        cursor = cursor or Cursor(self, connection)
        connection.outbound = cursor
        self._live[cursor] = None
        return cursor

    def resubscribe(self, cursor: Cursor) -> None:
        """A cursor that was forgotten is sent what it is owed, and follows the log again."""
        self._live[cursor] = None
        self.note_owed(cursor)

    def unsubscribe(self, cursor: Cursor) -> None:
        """Nothing that is broadcast from here on is for this member. What it is owed, it gets."""
        if cursor in self._live:
            del self._live[cursor]
            cursor.stop()
            self.note_owed(cursor)

    def broadcast(self, data: bytes, skip: Cursor | None = None) -> None:
        """Queue `data` for everyone who is subscribed now, but for `skip`."""
        start = self.log.end
        self.log.append(data)
        if skip:
            skip.skip(start)
        self.queue_turn()

    @property
    def laggards(self) -> Iterable[Cursor]:
        """Members that are not at the end, or just were not: who else is owed nothing but the page
        of this turn."""
        return self._lags.keys()

    def queue_turn(self) -> None:
        """See to it that this turn, or the next if this one is over, ends with `after_turn`."""
        if not self._is_turn_queued:
            self._is_turn_queued = True
            self._reactor.call_at_end(self._end_turn)

    # For Cursor.

    def note_owed(self, cursor: Cursor) -> Lag:
        """This member may be owed more than the next page: it is served, and judged, when the turn
        ends."""
        self.queue_turn()
        return self._lags.get(cursor) or self._lags.setdefault(cursor, Lag(self._reactor.now))

    def note_sent(self, cursor: Cursor, sent_bytes: int) -> None:
        """Record a send attempt, of which the kernel took `sent_bytes`."""
        lag = self.note_owed(cursor)
        if sent_bytes:
            lag.note_taken(sent_bytes, self._reactor.now)

    def forget(self, cursor: Cursor) -> None:
        """This member is gone."""
        self._live.pop(cursor, None)
        if self._lags.pop(cursor, None):
            self.queue_turn()  # its pages may not be needed any more

    # The end of the turn.

    def _end_turn(self) -> None:
        try:
            self._send_page(self.log.seal())
            if self._has_failed_turn:
                self._flush_after_failed_turn()
            self._judge()
        except Exception:
            self._has_failed_turn = True
            # There was no memory, perhaps. At once again, it would spin.
            self._reactor.call_later(RETRY_SECONDS, self.queue_turn)
            raise
        finally:
            self._is_turn_queued = False
        if self.log.end > self.log.sealed_end:
            self.queue_turn()  # somebody spoke when its last words were flushed
        self._after_turn()

    def _send_page(self, page: bytes) -> None:
        """Send `page` to everyone, and learn from the CPU time how much the next turn may be fed:
        what takes TURN_SECONDS at this pace. Little tells nothing, and the clock costs more."""
        turn_bytes = len(page) * len(self._live)
        if turn_bytes < MIN_TURN_BYTES // 2:
            self._serve(page)
            self._turn_bytes = MIN_TURN_BYTES
            return
        seconds = -self._reactor.cpu_time()
        self._serve(page)
        seconds += self._reactor.cpu_time()
        if turn_bytes * TURN_SECONDS < MAX_TURN_BYTES * seconds:
            self._turn_bytes = max(MIN_TURN_BYTES, int(turn_bytes * TURN_SECONDS / seconds))
        else:
            self._turn_bytes = MAX_TURN_BYTES

    def _serve(self, page: bytes) -> None:
        end, size = self.log.sealed_end, len(page)
        start = end - size
        for cursor in list(self._live) if page else []:
            connection = cursor.connection
            sock = connection.transport.plain_socket
            if cursor.position != start or cursor.splices or not sock or connection.sending:
                self._serve_apart(cursor, page, start)
                continue
            try:
                if (sent_bytes := sock.send(page)) == size:
                    cursor.position = end
                    continue
            except (BlockingIOError, InterruptedError):
                sent_bytes = 0
            except OSError as error:
                connection.end_stream(error)
                continue
            except Exception:  # it costs this one, and not those behind it
                self._reactor.report()
                connection.abort()
                continue
            cursor.advance(sent_bytes)
            connection.wait_until_writable()
        for cursor in [cursor for cursor in self._lags if not page or cursor not in self._live]:
            cursor.connection.flush()

    def _serve_apart(self, cursor: Cursor, page: bytes, start: int) -> None:
        """A member that is not at the page's start, or has more to get than the page, or less, or
        whose transport is no plain socket."""
        connection = cursor.connection
        is_owed_page = cursor.position == start and not cursor.splices
        if is_owed_page and connection.sending is OPEN and not connection.transport.has_output:
            self._hand_over(cursor, page)
        elif cursor.owed_bytes or connection.sending is not OPEN:
            connection.flush()
            if cursor.owed_bytes:  # its transport may have to send what is its own first
                self.note_owed(cursor)
        else:
            cursor.pass_skips()  # it said the whole page itself

    def _hand_over(self, cursor: Cursor, page: bytes) -> None:
        """The page and nothing else, through a transport that has nothing of its own to send."""
        connection = cursor.connection
        try:
            sent_bytes = connection.send([page])
        except Exception:  # it costs this one, and not those behind it
            self._reactor.report()
            connection.abort()
            return
        if sent_bytes == len(page):
            cursor.position += sent_bytes
            return
        cursor.advance(sent_bytes)
        connection.wait_until_writable()

    def _flush_after_failed_turn(self) -> None:
        for cursor in [*self._live, *self._lags]:
            if cursor.owed_bytes:
                cursor.connection.flush()
        self._has_failed_turn = False

    @property
    def _page_bytes(self) -> int:
        return max(MIN_PAGE_BYTES, min(PAGE_BYTES, self._turn_bytes // max(1, len(self._live))))

    def _judge(self) -> None:
        """Forget members that have caught up, cut those that took too long, and drop the pages
        that are not needed any more."""
        if self._judgement:
            self._judgement.cancel()
            self._judgement = None
        for cursor in [cursor for cursor in self._lags if not cursor.owed_bytes]:
            del self._lags[cursor]
        for cursor, lag in list(self._lags.items()):
            if verdict := lag.judge(cursor.kept_bytes, cursor.taken_bytes, self._reactor.now):
                cursor.connection.abort(SlowReaderError(verdict))
        self._bound_private_bytes()
        self.held_pages = max((lag.held_pages for lag in self._lags.values()), default=0)
        floor = min((cursor.needed_from for cursor in self._lags), default=self.log.sealed_end)
        self.log.drop_before(self.find_floor(floor) if self.find_floor else floor)
        if self._lags:
            deadline = min(lag.next_deadline() for lag in self._lags.values())
            self._judgement = self._reactor.call_at(deadline, self.queue_turn)

    def _bound_private_bytes(self) -> None:
        total_bytes = sum(cursor.private_bytes for cursor in self._lags)
        if total_bytes > MAX_PRIVATE_BYTES:
            total_bytes -= self._count_shared_bytes()
        if total_bytes <= MAX_PRIVATE_BYTES:
            return
        for cursor in sorted(self._lags, key=lambda cursor: cursor.private_bytes, reverse=True):
            why = f"{cursor.private_bytes} bytes unsent to it alone, {total_bytes} to all like it"
            total_bytes -= cursor.private_bytes
            cursor.connection.abort(SlowReaderError(why))
            if total_bytes <= MAX_PRIVATE_BYTES:
                return

    def _count_shared_bytes(self) -> int:
        """How many of the private bytes are kept once and counted for several members: one object
        was written to each of them, in front of all else that it is owed."""
        counted: dict[int, int] = {}
        kept: dict[int, int] = {}
        for cursor in self._lags:
            for _, _, data in islice(cursor.splices, _SHARED_SPLICES):
                key = id(data.obj if isinstance(data, memoryview) else data)
                counted[key] = counted.get(key, 0) + len(data)
                kept[key] = max(kept.get(key, 0), len(data))
        return sum(counted.values()) - sum(kept.values())
