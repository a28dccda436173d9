"""A peer that speaks HTTP/2 frame by frame, right or wrong, over a socket.

Nothing is checked before it is sent; what comes back is parsed.
"""

import gzip
import socket
import struct
import time

import hpack
import hyperframe.frame as frames

import wire

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ENHANCE_YOUR_CALM = 11  # RFC 9113, section 7
ENCODE = "/longhand.v1.EncoderService/Encode"
ENCODE_STREAM = "/longhand.v1.EncoderService/EncodeStream"


def grpc_message(payload, compressed=False, length=None):
    """gRPC's prefix and a payload, whose length may be a lie."""
    size = len(payload) if length is None else length
    return struct.pack(">BI", compressed, size) + payload


def raw_frame(kind, flags, stream, body):
    return struct.pack(">I", len(body))[1:] + struct.pack(
        ">BBI", kind, flags, stream) + body


def small_document(tokens=20):
    return wire.encoder_pb.EncodeRequest(
        token_ids=wire.encoder_pb.TokenIds(ids=[10] * tokens)
    ).SerializeToString()


def gzip_of_zeros(size):
    """A gzip stream of about a thousandth of `size`."""
    part = b"\0" * (1 << 20)
    # Members may follow each other.
    member = gzip.compress(part)
    return member * (size >> 20)


class Answer:
    """What came back on one stream."""

    def __init__(self):
        self.headers = {}  # the trailers too
        self.data = b""
        self.ended = False
        self.reset = None  # the error code of a RST_STREAM

    @property
    def status(self):
        """gRPC's status code, or None."""
        code = self.headers.get("grpc-status")
        return None if code is None else int(code)


class Peer:
    """One connection. `context`: TLS. `greet`: to send the preface and
    SETTINGS; `agree`: to wait for the server's SETTINGS and acknowledge them,
    from where on they bind."""

    def __init__(self, address, context=None, settings=None, greet=True,
                 agree=True):
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            self.socket = context.wrap_socket(self.socket,
                                              server_hostname="localhost")
        self.answers = {}
        self.goaway = None
        self.closed = False
        self.settings = None  # the server's
        self.acknowledged_pings = 0
        self._greeted = greet
        self._received = b""
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self._next_stream = 1
        if greet:
            self.send_bytes(PREFACE)
            self.send(frames.SettingsFrame(0, settings or {}))
        if greet and agree:
            self.read_until(lambda: self.settings is not None, 20)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        self.close()

    def close(self):
        self.socket.close()

    def send_bytes(self, data):
        """Errors mean that the server has hung up; reading tells why."""
        try:
            self.socket.sendall(data)
        except OSError:
            pass

    def send(self, *many):
        self.send_bytes(b"".join(frame.serialize() for frame in many))

    def headers(self, path, extra=(), end=False):
        """Opens a stream; returns (its number, the frames that do it)."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path),
                  (":authority", "localhost"), ("te", "trailers"),
                  ("content-type", "application/grpc"), *extra]
        return stream, self.header_frames(stream, fields, end)

    def header_frames(self, stream, fields, end=False):
        block = self._encoder.encode(fields, huffman=False)
        # The default of the largest frame.
        parts = [block[i:i + 16_384] for i in range(0, len(block), 16_384)]
        result = [frames.HeadersFrame(stream, parts[0])]
        result += [frames.ContinuationFrame(stream, part) for part in parts[1:]]
        result[-1].flags.add("END_HEADERS")
        if end:
            result[0].flags.add("END_STREAM")
        return result

    def open(self, path, extra=(), end=False):
        """Sends the headers of a call; returns the stream's number."""
        stream, opening = self.headers(path, extra, end)
        self.send(*opening)
        return stream

    def send_data(self, stream, data, end=False):
        """Pays no heed to windows."""
        parts = [data[i:i + 16_384] for i in range(0, len(data), 16_384)]
        many = [frames.DataFrame(stream, part) for part in parts or [b""]]
        if end:
            many[-1].flags.add("END_STREAM")
        self.send(*many)

    def call(self, path=ENCODE, payload=None, extra=(), compressed=False):
        """A unary call whose message fits into the windows; its Answer."""
        stream = self.open(path, extra)
        payload = small_document() if payload is None else payload
        self.send_data(stream, grpc_message(payload, compressed), end=True)
        return self.finish(stream)

    def finish(self, stream, seconds=60):
        """Reads until the stream or the connection has ended."""
        self.read_until(lambda: self.answer(stream).ended, seconds)
        return self.answer(stream)

    def answer(self, stream):
        return self.answers.setdefault(stream, Answer())

    def read_until(self, condition, seconds):
        """Whether `condition()` came to hold before the time was over or the
        server hung up."""
        give_up = time.monotonic() + seconds
        while not condition():
            left = give_up - time.monotonic()
            if left <= 0 or not self._read(left):
                return condition()
        return True

    def hung_up(self, seconds):
        """Whether the server closes the connection within the time."""
        return self.read_until(lambda: self.closed, seconds)

    def _read(self, seconds):
        if self.closed:
            return False
        self.socket.settimeout(max(seconds, 0.01))
        try:
            data = self.socket.recv(65_536)
        except TimeoutError:
            return False
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return True
        self._received += data
        while self._take_frame():
            pass
        return True

    def _take_frame(self):
        if len(self._received) < 9:
            return False
        frame, length = frames.Frame.parse_frame_header(
            memoryview(self._received[:9]))
        if len(self._received) < 9 + length:
            return False
        frame.parse_body(memoryview(self._received[9:9 + length]))
        self._received = self._received[9 + length:]
        self._handle(frame)
        return True

    def _handle(self, frame):
        answer = self.answer(frame.stream_id)
        if isinstance(frame, frames.HeadersFrame):
            answer.headers.update(self._decoder.decode(frame.data))
        elif isinstance(frame, frames.DataFrame):
            answer.data += frame.data
        elif isinstance(frame, frames.RstStreamFrame):
            answer.reset = frame.error_code
            answer.ended = True
        elif isinstance(frame, frames.GoAwayFrame):
            self.goaway = frame
        elif isinstance(frame, frames.PingFrame):
            if "ACK" in frame.flags:
                self.acknowledged_pings += 1
            else:
                self.send(frames.PingFrame(0, frame.opaque_data,
                                           flags=["ACK"]))
        elif isinstance(frame, frames.SettingsFrame):
            if "ACK" not in frame.flags and self._greeted:
                self.settings = dict(frame.settings)
                self.send(frames.SettingsFrame(0, flags=["ACK"]))
        if "END_STREAM" in frame.flags:
            answer.ended = True
