"""What a caller sends stays between caller and server.

A random word goes into everything that a request can carry: documents,
questions, snapshots, names, ids, page tokens, metadata, tokens of auth. It must
turn up neither in the log at its most talkative, nor in /metrics, nor in the
text, details or trailers of an error, which other programs log. Where a
message names what the caller chose from a short list, it may not quote it.
"""

import hashlib
import json
import pathlib
import secrets
import subprocess
import tempfile
import unittest

import grpc
from google.protobuf import descriptor as pb_descriptor
from google.protobuf import message_factory

import hostile
import http2_peer
import programs
import session_wire
import tiny_model
import wire
from wire import encoder_pb, session_pb

# With letters that stay what they are in base64url, JSON, URLs and logs.
CANARY = "canary" + secrets.token_hex(8)
SERVICES = (wire.encoder_pb, wire.model_pb, wire.session_pb)
CALL_SECONDS = 60


def setUpModule():  # pylint: disable=invalid-name
    global model  # pylint: disable=global-statement
    folder = tempfile.TemporaryDirectory(prefix="longhand-test-")
    unittest.addModuleCleanup(folder.cleanup)
    model = tiny_model.make_tiny_model(pathlib.Path(folder.name) / "tiny",
                                       programs.TESTDATA_DIR)


def methods():
    """(service, method) descriptors of all that we serve."""
    for module in SERVICES:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield service, method


def caller(connection, service, method):
    """A function from requests and metadata to the list of responses."""
    request = message_factory.GetMessageClass(method.input_type)
    response = message_factory.GetMessageClass(method.output_type)
    kind = (("stream" if method.client_streaming else "unary") + "_"
            + ("stream" if method.server_streaming else "unary"))
    call = getattr(connection.channel, kind)(
        f"/{service.full_name}/{method.name}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString)

    def send(requests, metadata=()):
        sent = iter(requests) if method.client_streaming else requests[-1]
        answer = call(sent, timeout=CALL_SECONDS, metadata=metadata)
        return list(answer) if method.server_streaming else [answer]
    return request, send


def fill(message, word, depth=4, skip=()):
    """Sets every string and bytes field to hold `word`, and one field of each
    oneof."""
    for field in message.DESCRIPTOR.fields:
        oneof = field.containing_oneof
        if field.name in skip or (
                oneof and len(oneof.fields) > 1
                and message.WhichOneof(oneof.name)):
            continue
        kind = field.type
        if kind == field.TYPE_MESSAGE:
            if depth and not field.is_repeated:
                fill(getattr(message, field.name), word, depth - 1)
                getattr(message, field.name).SetInParent()
            elif depth:
                fill(getattr(message, field.name).add(), word, depth - 1)
        elif kind in (field.TYPE_STRING, field.TYPE_BYTES):
            value = word if kind == field.TYPE_STRING else word.encode()
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)


class CanaryTest(unittest.TestCase):

    def start(self, *flags):
        self.server = self.enterContext(programs.Server(
            model, "--workers", "1", "--log-level", "debug", *flags))
        self.connection = wire.Connection(
            self.server.wait_until_ready().address)
        self.addCleanup(self.connection.close)
        self.errors = 0
        self.served = 0

    def attempt(self, send, requests, metadata=()):
        """Calls; looks at what an error shows."""
        try:
            send(requests, metadata)
            self.served += 1
        except grpc.RpcError as error:
            self.errors += 1
            self.look(f"message of {error.code()}", error.details())
            for key, value in error.trailing_metadata() or ():
                self.look(f"trailer {key} of {error.code()}: "
                          f"{error.details()}", value)

    def look(self, where, text):
        if isinstance(text, str):
            text = text.encode()
        if CANARY.encode() in (text or b"").lower():
            self.fail(f"the canary is in the {where}: {text!r}")

    def tearDown(self):
        self.look("metrics", self.server.scrape())
        self.assertEqual(self.server.stop(), 0)
        self.look("log", self.server.log())
        self.assertGreater(self.errors, 10)
        # It was there to be seen.
        self.assertIn('"method":"', self.server.log())

    METADATA = (("x-request-id", CANARY), ("x-data-bin", CANARY.encode()),
                ("authorization", f"Bearer {CANARY}"), ("cookie", CANARY),
                ("traceparent", f"00-{CANARY}-{CANARY}-01"),
                ("tracestate", f"a={CANARY}"), (CANARY, "value"),
                ("x-long", CANARY * 50))

    def test_every_string_of_every_request(self):
        self.start()
        for service, method in methods():
            with self.subTest(method.full_name):
                request, send = caller(self.connection, service, method)
                for metadata in ((), self.METADATA):
                    filled = request()
                    fill(filled, CANARY)
                    self.attempt(send, [filled], metadata)
                    self.attempt(send, [filled, filled], metadata)
                    self.attempt(send, [request()], metadata)
                    # One field at a time, so that each gets its turn to fail.
                    for field in request.DESCRIPTOR.fields:
                        single = request()
                        fill(single, CANARY, skip={
                            other.name for other in request.DESCRIPTOR.fields
                            if other is not field})
                        self.attempt(send, [single], metadata)

    def test_every_name_of_the_options(self):
        self.start()
        for field in encoder_pb.EncodeOptions.DESCRIPTOR.fields:
            if field.type != pb_descriptor.FieldDescriptor.TYPE_STRING:
                continue
            with self.subTest(field.name):
                options = encoder_pb.EncodeOptions(**{field.name: CANARY})
                encoder = self.connection.encoder
                self.attempt(
                    lambda requests, _: encoder.Encode(requests[0]),
                    [encoder_pb.EncodeRequest(options=options,
                                              text=CANARY.encode())])
                self.attempt(
                    lambda requests, _: list(encoder.EncodeStream(
                        iter(requests))),
                    [encoder_pb.EncodeStreamRequest(config=options)])
                self.attempt(
                    lambda requests, _: self.connection.sessions.CreateSession(
                        requests[0]),
                    [session_pb.CreateSessionRequest(options=options)])
        self.errors += 10  # in words of their own, above

    def test_documents_that_work_and_documents_that_do_not(self):
        self.start("--max-document-bytes", "20000")
        encoder = self.connection.encoder
        texts = [CANARY.encode(), (CANARY + " ").encode() * 100,
                 (CANARY + " ").encode() * 2000,  # too long
                 CANARY.encode() + b"\xff", b"\xc3" + CANARY.encode(),
                 CANARY.encode() + b"\0\n\x1b[31m"]
        spans = [[(0, 10)], [(10, 0)], [(0, 1 << 40)]]
        for text in texts:
            for span in spans:
                options = encoder_pb.EncodeOptions(spans=[
                    encoder_pb.ByteSpan(begin=a, end=b) for a, b in span])
                request = encoder_pb.EncodeRequest(options=options, text=text)
                self.attempt(lambda r, _: encoder.Encode(r[0]), [request])
                batch = encoder_pb.EncodeBatchRequest(request=request)
                for response in encoder.EncodeBatch(iter([batch])):
                    if response.HasField("error"):
                        self.errors += 1
                        self.look("error of a batch",
                                  response.error.SerializeToString())
        self.assertGreater(self.served, 0)

    def test_a_session_from_begin_to_end(self):
        self.start()
        connection, sessions = self.connection, self.connection.sessions
        text = (CANARY + " ").encode() * 40
        session = session_wire.create(connection)
        done = session_wire.append_text(connection, session, 0, text)
        offset = done.result.committed_offset
        session_wire.query(connection, session, CANARY, texts=True)
        snapshot = session_wire.export(connection, session)
        session_wire.import_snapshot(connection, snapshot)
        session_wire.fork(connection, session)
        session_wire.edit(connection, session, 3, 9, CANARY.encode())
        session_wire.rewind(connection, session, 20)
        self.served += 1
        word = CANARY.encode()
        appends = [dict(expected_offset=offset + 5, text=word),
                   dict(expected_offset=0, text=word),
                   dict(expected_offset=offset, text=word, append_id=word),
                   dict(expected_offset=offset, text=word, append_id=word * 9),
                   dict(expected_offset=offset, text=word, payload_crc32c=1),
                   dict(expected_offset=offset, text=word + b"\xff"),
                   dict(expected_offset=offset, text=word,
                        if_state_digest=word * 2)]
        for fields in appends:
            fields = {"append_id": secrets.token_bytes(16), **fields}
            self.attempt(
                lambda r, _: list(sessions.AppendSession(iter(r))),
                [session_pb.AppendSessionRequest(session_id=session,
                                                 **fields)])
        for broken in (word, snapshot[:100] + word, snapshot + word):
            self.attempt(
                lambda r, _: sessions.ImportSession(iter(r)),
                [session_pb.ImportSessionRequest(data=broken)])
        sessions.DeleteSession(
            session_pb.DeleteSessionRequest(session_id=session))
        for call, kind in ((sessions.GetSession, "GetSessionRequest"),
                           (sessions.DeleteSession, "DeleteSessionRequest"),
                           (sessions.ForkSession, "ForkSessionRequest")):
            self.attempt(lambda r, _, call=call: call(r[0]),
                         [getattr(session_pb, kind)(session_id=CANARY)])

    def test_what_no_client_library_sends(self):
        self.start()
        path = "/longhand.v1.EncoderService/" + CANARY
        with http2_peer.Peer(self.server.address) as peer:
            for extra in ([], [("user-agent", CANARY)],
                          [("grpc-encoding", CANARY)],
                          [("grpc-accept-encoding", CANARY)],
                          [("grpc-timeout", "1S")]):
                for target in (path, "/" + CANARY + "/Encode",
                               http2_peer.ENCODE):
                    answer = peer.call(target, CANARY.encode(), extra)
                    self.errors += 1
                    for key, value in answer.headers.items():
                        self.look(f"header {key}", value)

    def test_tokens_of_callers(self):
        flags = subprocess.run([programs.SERVER_PROGRAM, "--help"], check=True,
                               capture_output=True, text=True).stdout
        self.assertIn("--auth-tokens", flags)
        folder = self.enterContext(hostile.temporary_folder())
        rules = folder / "tenants.json"
        good = f"good-{CANARY}"
        rules.write_text(json.dumps({"tenants": [{
            "name": "search", "token_sha256":
                [hashlib.sha256(good.encode()).hexdigest()]}]}))
        self.start("--auth-tokens", str(rules))
        for service, method in methods():
            request, send = caller(self.connection, service, method)
            for value in (None, f"Bearer {good}", f"Bearer {CANARY}",
                          f"Basic {CANARY}", CANARY, f"bearer  {good} "):
                metadata = [] if value is None else [("authorization", value)]
                self.attempt(send, [request()], metadata)
        self.attempt(
            lambda r, _: self.connection.encoder.Encode(
                r[0], metadata=[("authorization", f"Bearer {good}")]),
            [encoder_pb.EncodeRequest(text=CANARY.encode())])
        self.assertGreater(self.served, 0)


if __name__ == "__main__":
    unittest.main()
