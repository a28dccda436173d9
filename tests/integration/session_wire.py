"""Sessions through gRPC's Python library."""

import dataclasses
import os

import wire
from wire import session_pb as pb

MEMORY = pb.DURABILITY_MEMORY
LOCAL = pb.DURABILITY_LOCAL
SHARED = pb.DURABILITY_SHARED


@dataclasses.dataclass
class Append:
    """One append; sent again as it is."""
    offset: int
    content: bytes
    durability: int = MEMORY
    provisional: bool = False
    close: bool = False
    append_id: bytes = dataclasses.field(default_factory=lambda: os.urandom(16))

    @property
    def end(self):
        return self.offset + len(self.content)

    def request(self, session_id):
        content = {"text": self.content} if self.content else {}
        return pb.AppendSessionRequest(
            session_id=session_id, expected_offset=self.offset,
            append_id=self.append_id, min_durability=self.durability,
            provisional=self.provisional, close=self.close, **content)


@dataclasses.dataclass
class Appended:
    """What came back for one append."""
    chunks: list
    provisional: list
    result: object = None
    drain: object = None


def create(connection, ttl_seconds=0, **options):
    """Returns the session's id."""
    request = pb.CreateSessionRequest(
        options=wire.encoder_pb.EncodeOptions(**options))
    if ttl_seconds:
        request.ttl.FromSeconds(ttl_seconds)
    response = connection.sessions.CreateSession(
        request, timeout=wire.CALL_SECONDS)
    return response.session.session_id


def get(connection, session_id):
    return connection.sessions.GetSession(
        pb.GetSessionRequest(session_id=session_id),
        timeout=wire.CALL_SECONDS).session


def append(connection, session_id, appends):
    """Sends all `appends` on one stream; an Appended for each result."""
    results = [Appended([], [])]
    for response in connection.sessions.AppendSession(
            (one.request(session_id) for one in appends),
            timeout=wire.CALL_SECONDS):
        kind = response.WhichOneof("payload")
        if kind == "chunk":
            results[-1].chunks.append(response.chunk)
        elif kind == "provisional_chunk":
            results[-1].provisional.append(response.provisional_chunk)
        elif kind == "result":
            results[-1].result = response.result
            results.append(Appended([], []))
        elif kind == "drain":
            results[-1].drain = response.drain
        else:
            raise AssertionError(f"unknown payload {kind}")
    return results if results[-1].drain is not None else results[:-1]


def append_text(connection, session_id, offset, text, **fields):
    """One append on a stream of its own."""
    return append(connection, session_id,
                  [Append(offset, text, **fields)])[0]


def query(connection, session_id, *questions, **fields):
    return connection.sessions.QuerySession(
        pb.QuerySessionRequest(
            session_id=session_id,
            questions=[pb.Question(text=q.encode()) for q in questions],
            **fields),
        timeout=wire.CALL_SECONDS)


def export(connection, session_id):
    return b"".join(
        response.data for response in connection.sessions.ExportSession(
            pb.ExportSessionRequest(session_id=session_id),
            timeout=wire.CALL_SECONDS))


def import_snapshot(connection, data, piece=100_000):
    requests = (pb.ImportSessionRequest(data=data[i:i + piece])
                for i in range(0, len(data), piece))
    return connection.sessions.ImportSession(
        requests, timeout=wire.CALL_SECONDS).session


def fork(connection, session_id):
    return connection.sessions.ForkSession(
        pb.ForkSessionRequest(session_id=session_id),
        timeout=wire.CALL_SECONDS).session


def change(responses):
    """(chunks, result) of a rewind or an edit."""
    chunks, result = [], None
    for response in responses:
        if response.WhichOneof("payload") == "chunk":
            chunks.append(response.chunk)
        else:
            result = response.result
    return chunks, result


def rewind(connection, session_id, offset, **fields):
    return change(connection.sessions.RewindSession(
        pb.RewindSessionRequest(session_id=session_id, offset=offset, **fields),
        timeout=wire.CALL_SECONDS))


def edit(connection, session_id, begin, end, text, **fields):
    return change(connection.sessions.EditSession(
        pb.EditSessionRequest(session_id=session_id, begin=begin, end=end,
                              text=text, **fields),
        timeout=wire.CALL_SECONDS))


def stored_text(connection, session_id):
    """The session's text as its chunks have it, the tail included."""
    response = query(connection, session_id, "what", max_similar=1000,
                     max_attended=0, texts=True)
    chunks = sorted(response.answers[0].similar, key=lambda c: c.index)
    if len(chunks) != response.chunk_count:
        raise AssertionError(f"{response.chunk_count} chunks, of which "
                             f"{len(chunks)} came")
    return b"".join(chunk.text for chunk in chunks)
