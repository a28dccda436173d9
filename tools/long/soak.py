"""The body of tools/long/soak: load, samples, verdict."""

import dataclasses
import os
import pathlib
import random
import subprocess
import sys
import threading
import time

import grpc

import hostile
import programs
import session_wire
import wire
from wire import session_pb

MAX_SLOPE_BYTES = 1 << 20  # a minute
ROUND_SECONDS = 25
MIN_ROUNDS = 4  # after the warm-up, to judge memory and threads by
CLIENTS = 4
LOAD_CLIENTS = 2
MAX_OPEN_SESSIONS = 8  # of each client
# gRPC's pools grow to the load's widest moment and shrink when they please: what
# they may differ by between two moments of rest.
SPARE_THREADS = 4
SPARE_DESCRIPTORS = 4
TEXT = pathlib.Path(os.environ["INTEGRATION_DOCUMENT"]).read_text(
    encoding="utf-8").encode("ascii", "ignore")
# What a call may end with that was cancelled, too late or refused.
EXPECTED = {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE}


@dataclasses.dataclass
class Sample:
    minute: float
    memory: float  # bytes resident
    descriptors: float
    threads: float
    documents: float
    sessions: float
    tokens: float

    HEADER = ("minute  RSS MiB  descriptors  threads  documents  sessions  "
              "tokens")

    def line(self):
        return (f"{self.minute:6.2f}  {self.memory / 2**20:7.1f}  "
                f"{self.descriptors:11.0f}  {self.threads:7.0f}  "
                f"{self.documents:9.0f}  {self.sessions:8.0f}  "
                f"{self.tokens:.0f}")


def take_sample(server, begin):
    metrics = server.metrics()
    return Sample(
        (time.monotonic() - begin) / 60,
        metrics["process_resident_memory_bytes"],
        metrics["process_open_fds"], metrics["process_threads"],
        metrics["longhand_open_documents"],
        sum(value for series, value in metrics.items()
            if series.startswith("longhand_sessions{")),
        metrics["longhand_encode_tokens_total"])


def slope(samples):
    """Bytes a minute, by least squares."""
    mean_x = sum(s.minute for s in samples) / len(samples)
    mean_y = sum(s.memory for s in samples) / len(samples)
    over = sum((s.minute - mean_x) * (s.memory - mean_y) for s in samples)
    under = sum((s.minute - mean_x) ** 2 for s in samples)
    return over / under


class Client(threading.Thread):
    """Calls, one after the other, until `stop` is set."""

    def __init__(self, address, seed, stop):
        super().__init__()
        self.calls = {}  # {name: (how many, seconds of the slowest)}
        self.failure = None
        self._rng = random.Random(seed)
        self._stop_event = stop
        self._address = address
        self._sessions = []  # [id, offset]

    def run(self):
        connection = hostile.connect(self._address)
        kinds = [(self.encode, 40), (self.stream, 20), (self.append, 25),
                 (self.query, 8), (self.fork, 2), (self.delete, 2),
                 (self.cancel, 1), (self.be_late, 1), (self.read_slowly, 1)]
        names, weights = zip(*kinds, strict=True)
        try:
            while not self._stop_event.is_set():
                call = self._rng.choices(names, weights)[0]
                name, begin = call.__name__, time.monotonic()
                try:
                    call(connection)
                except grpc.RpcError as error:
                    if error.code() not in EXPECTED:
                        raise
                    name += " " + error.code().name
                count, slowest = self.calls.get(name, (0, 0))
                self.calls[name] = (count + 1, max(
                    slowest, time.monotonic() - begin))
            for session, _ in self._sessions:
                self.remove(connection, session)
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error
            self._stop_event.set()
        finally:
            connection.close()

    def text(self, size):
        begin = self._rng.randrange(len(TEXT) - size)
        return TEXT[begin:begin + size]

    def encode(self, connection):
        wire.encode(connection, self.text(self._rng.randint(100, 3000)))

    def stream(self, connection):
        text = self.text(self._rng.randint(1000, 20_000))
        wire.encode_stream(connection, [text[i:i + 1500]
                                        for i in range(0, len(text), 1500)])

    def started(self, connection, size, seconds=60):
        """The responses to a document of `size` bytes, and its requests' end
        not yet sent."""
        requests = list(wire.stream_requests([self.text(size)],
                                             document_weight=0))
        return connection.encoder.EncodeStream(iter(requests), timeout=seconds)

    def cancel(self, connection):
        responses = self.started(connection, 40_000)
        next(responses)
        responses.cancel()

    def be_late(self, connection):
        for _ in self.started(connection, 40_000, seconds=0.3):
            pass

    def read_slowly(self, connection):
        for _ in self.started(connection, 30_000):
            time.sleep(0.1)

    def append(self, connection):
        if len(self._sessions) < MAX_OPEN_SESSIONS:
            self._sessions.append([session_wire.create(connection), 0])
        session = self._rng.choice(self._sessions)
        done = session_wire.append_text(
            connection, session[0], session[1],
            self.text(self._rng.randint(1, 4000)))
        session[1] = done.result.committed_offset

    def query(self, connection):
        # A session of a few spaces has nothing to be asked about.
        long = [session for session, offset in self._sessions if offset > 500]
        if long:
            session_wire.query(connection, self._rng.choice(long), "what")

    def fork(self, connection):
        if self._sessions:
            source = self._rng.choice(self._sessions)
            copy = session_wire.fork(connection, source[0])
            self._sessions.append([copy.session_id, copy.committed_offset])
            if len(self._sessions) > MAX_OPEN_SESSIONS:
                self.delete(connection)

    def delete(self, connection):
        if self._sessions:
            self.remove(connection, self._sessions.pop(
                self._rng.randrange(len(self._sessions)))[0])

    def remove(self, connection, session):
        connection.sessions.DeleteSession(
            session_pb.DeleteSessionRequest(session_id=session),
            timeout=wire.CALL_SECONDS)


def run_round(server, seed):
    """All clients for a while; returns them."""
    stop = threading.Event()
    clients = [Client(server.address, CLIENTS * seed + i, stop)
               for i in range(CLIENTS)]
    load = subprocess.Popen(
        programs.client_command(
            server, "load", os.environ["INTEGRATION_DOCUMENT"], "--clients",
            LOAD_CLIENTS, "--duration", f"{ROUND_SECONDS}s", "--warm-up", "1s",
            "--load-seed", seed, "--mix", "short:0.9:128,long:0.1:3000"),
        stdout=subprocess.DEVNULL, env=programs.clean_environment())
    for client in clients:
        client.start()
    stop.wait(ROUND_SECONDS)
    stop.set()
    for client in clients:
        client.join()
    if load.wait(programs.PATIENCE_SECONDS) != 0:
        raise AssertionError("longhand load failed")
    return clients


def at_rest(server, begin, idle):
    """A sample without documents, sessions and connections of the load; or the
    last one before patience ends. Memory under load says little: one document
    more is more than a leak of minutes."""
    for _ in range(60):
        time.sleep(1)
        sample = take_sample(server, begin)
        if not leftovers(sample, idle):
            break
    return sample


def growth(before, after, spare):
    """What there is more of in the sample `after`, beyond {name: spare}."""
    return [f"{getattr(after, name):.0f} {name} at minute {after.minute:.1f}, "
            f"{getattr(before, name):.0f} at minute {before.minute:.1f}"
            for name, more in spare.items()
            if getattr(after, name) > getattr(before, name) + more]


def leftovers(sample, idle):
    return growth(idle, sample, {"documents": 0, "sessions": 0,
                                 "descriptors": SPARE_DESCRIPTORS})


def main(minutes):
    flags = os.environ.get("LONGHAND_SOAK_SERVER_FLAGS", "").split()
    # Chunks of deleted sessions stay in the content cache: one that is full
    # before the warm-up ends.
    with programs.Server(programs.MODEL_DIR, "--log-level", "info",
                         "--session-cache-bytes", "32MiB",
                         *flags) as server:
        address = server.wait_until_ready().address
        first = wire.Connection(address)
        wire.encode(first, TEXT[:1000])
        first.close()
        begin = time.monotonic()
        idle = take_sample(server, begin)
        print(Sample.HEADER)
        print(idle.line(), flush=True)
        samples, clients = [], []
        while (time.monotonic() < begin + minutes * 60
               and not any(client.failure for client in clients)):
            clients += run_round(server, len(samples))
            samples.append(at_rest(server, begin, idle))
            print(samples[-1].line(), flush=True)
        problems = leftovers(samples[-1], idle)
        exit_code = server.stop()
    if exit_code != 0:
        problems.append(f"the server exited with {exit_code}")
    calls = {}
    for client in clients:
        if client.failure is not None:
            problems.append(f"a client failed: {client.failure}")
        for name, (count, slowest) in client.calls.items():
            before = calls.get(name, (0, 0))
            calls[name] = (before[0] + count, max(before[1], slowest))
    for name, (count, slowest) in sorted(calls.items()):
        print(f"{name}: {count}, the slowest {slowest:.1f} s")
    warm = [s for s in samples if s.minute >= minutes / 4]
    if len(warm) < MIN_ROUNDS:
        print("too few rounds to judge memory and threads")
    else:
        problems += growth(warm[0], warm[-1], {"threads": SPARE_THREADS})
        memory = slope(warm)
        print(f"memory after the warm-up: {memory / 2**20:+.2f} MiB a minute")
        if memory > MAX_SLOPE_BYTES:
            problems.append("memory grows by more than "
                            f"{MAX_SLOPE_BYTES / 2**20:.0f} MiB a minute")
    for problem in problems:
        print("FAILED:", problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
