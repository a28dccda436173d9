"""Every number of every request at the ends of its range.

The fields are found through the descriptors, so a new one is tested from the
day it is there. Each is set in a request that works without it; the answer must
be OK or blame the caller, must come soon, and must not cost memory that the
number chose.
"""

import pathlib
import secrets
import tempfile
import unittest

import grpc
from google.protobuf import message_factory

import hostile
import programs
import session_wire
import tiny_model
import wire
from wire import encoder_pb, model_pb, session_pb

# No answer within this is a DEADLINE_EXCEEDED, which blames nobody.
CALL_SECONDS = 20
MANY = 100_000
GROWTH = 192 << 20

TEXT = b"one two three four five six seven eight nine ten " * 8
BLAMES_THE_CALLER = {
    grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.ABORTED}

SIGNED_32 = [0, 1, 127, -1, 2**31 - 1, -2**31]
SIGNED_64 = SIGNED_32 + [2**32, 2**63 - 1, -2**63]
UNSIGNED_32 = [0, 1, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1]
UNSIGNED_64 = UNSIGNED_32 + [2**32, 2**63 - 1, 2**63, 2**64 - 1]
REAL = [0.0, -0.0, 1.0, -1.0, 1e-45, 3e38, -3e38, float("inf"),
        float("-inf"), float("nan")]


def values_of(field):
    kinds = {field.TYPE_INT32: SIGNED_32, field.TYPE_INT64: SIGNED_64,
             field.TYPE_SINT32: SIGNED_32, field.TYPE_SINT64: SIGNED_64,
             field.TYPE_SFIXED32: SIGNED_32, field.TYPE_SFIXED64: SIGNED_64,
             field.TYPE_UINT32: UNSIGNED_32, field.TYPE_FIXED32: UNSIGNED_32,
             field.TYPE_UINT64: UNSIGNED_64, field.TYPE_FIXED64: UNSIGNED_64,
             field.TYPE_ENUM: SIGNED_32, field.TYPE_FLOAT: REAL,
             field.TYPE_DOUBLE: REAL}
    return kinds.get(field.type, [])


def paths(descriptor, prefix=()):
    """Paths of field names to all numbers in a message."""
    for field in descriptor.fields:
        path = (*prefix, field.name)
        if field.message_type is not None:
            if len(path) < 5:
                yield from paths(field.message_type, path)
        elif values_of(field):
            yield path, field


def put(message, path, value, times=1):
    """Sets the field at `path`, or adds `value` `times` times where there is
    something repeated on the way."""
    for depth, name in enumerate(path):
        field = message.DESCRIPTOR.fields_by_name[name]
        last = depth == len(path) - 1
        if not field.is_repeated:
            if last:
                setattr(message, name, value)
            else:
                message = getattr(message, name)
                message.SetInParent()
        elif last:
            getattr(message, name).extend([value] * times)
        else:
            for _ in range(times - 1):
                put(getattr(message, name).add(), path[depth + 1:], value)
            message = getattr(message, name).add()


def setUpModule():  # pylint: disable=invalid-name
    global server, connection  # pylint: disable=global-statement
    folder = tempfile.TemporaryDirectory(prefix="longhand-test-")
    unittest.addModuleCleanup(folder.cleanup)
    model = tiny_model.make_tiny_model(pathlib.Path(folder.name) / "tiny",
                                       programs.TESTDATA_DIR)
    server = programs.Server(model, "--workers", "1",
                             "--session-max-per-tenant", "100000")
    server.__enter__()
    unittest.addModuleCleanup(server.__exit__, None, None, None)
    connection = wire.Connection(server.wait_until_ready().address)
    unittest.addModuleCleanup(connection.close)


def session():
    """The id of a new one that holds TEXT."""
    made = session_wire.create(connection)
    session_wire.append_text(connection, made, 0, TEXT)
    return made


def working_requests():
    """{method: makes a list of requests that the server answers with OK}. A
    method that takes one request gets the first."""
    append = session_pb.AppendSessionRequest
    return {
        "Encode": lambda: [encoder_pb.EncodeRequest(text=TEXT)],
        "EncodeStream": lambda: [
            encoder_pb.EncodeStreamRequest(config=encoder_pb.EncodeOptions()),
            encoder_pb.EncodeStreamRequest(text=TEXT)],
        "EncodeBatch": lambda: [encoder_pb.EncodeBatchRequest(
            request=encoder_pb.EncodeRequest(text=TEXT))],
        "GetModel": lambda: [model_pb.GetModelRequest()],
        "Tokenize": lambda: [model_pb.TokenizeRequest(text=TEXT)],
        "CreateSession": lambda: [session_pb.CreateSessionRequest()],
        "GetSession": lambda: [session_pb.GetSessionRequest(
            session_id=session())],
        "ListSessions": lambda: [session_pb.ListSessionsRequest()],
        "DeleteSession": lambda: [session_pb.DeleteSessionRequest(
            session_id=session())],
        "AppendSession": lambda: [append(
            session_id=session_wire.create(connection), expected_offset=0,
            append_id=secrets.token_bytes(16), text=TEXT)],
        "QuerySession": lambda: [session_pb.QuerySessionRequest(
            session_id=session(),
            questions=[session_pb.Question(text=b"what")])],
        "ForkSession": lambda: [session_pb.ForkSessionRequest(
            session_id=session())],
        "RewindSession": lambda: [session_pb.RewindSessionRequest(
            session_id=session(), offset=10)],
        "EditSession": lambda: [session_pb.EditSessionRequest(
            session_id=session(), begin=4, end=7, text=b"six")],
        "ExportSession": lambda: [session_pb.ExportSessionRequest(
            session_id=session())],
        "ImportSession": lambda: [session_pb.ImportSessionRequest(
            data=session_wire.export(connection, session()))],
    }


class FieldLimitsTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.working = working_requests()
        cls.memory = server.memory_bytes("VmHWM")

    def methods(self):
        for module in (encoder_pb, model_pb, session_pb):
            for service in module.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    yield f"/{service.full_name}/{method.name}", method

    def call(self, path, method, requests):
        """The status, and in it that of each document of a batch."""
        kind = (("stream" if method.client_streaming else "unary") + "_"
                + ("stream" if method.server_streaming else "unary"))
        response = message_factory.GetMessageClass(method.output_type)
        send = getattr(connection.channel, kind)(
            path, request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=response.FromString)
        sent = iter(requests) if method.client_streaming else requests[0]
        try:
            answer = send(sent, timeout=CALL_SECONDS)
            for one in answer if method.server_streaming else [answer]:
                if method.name == "EncodeBatch" and one.HasField("error"):
                    return self.status_of(one.error.code), one.error.message
            return grpc.StatusCode.OK, ""
        except grpc.RpcError as error:
            return error.code(), error.details()

    @staticmethod
    def status_of(number):
        return next(c for c in grpc.StatusCode if c.value[0] == number)

    def check(self, path, method, requests, what):
        code, details = self.call(path, method, requests)
        self.assertIn(code, BLAMES_THE_CALLER, f"{what}: {details}")
        if hostile.MEASURES_MEMORY:
            self.assertLessEqual(server.memory_bytes("VmHWM"),
                                 self.memory + GROWTH, what)
        return code

    def test_all_methods_have_a_request_that_works(self):
        for path, method in self.methods():
            with self.subTest(path):
                code, details = self.call(path, method,
                                          self.working[method.name]())
                self.assertEqual(code, grpc.StatusCode.OK, details)

    def test_every_number(self):
        tried = 0
        for path, method in self.methods():
            for fields, field in paths(method.input_type):
                for value in values_of(field):
                    requests = self.working[method.name]()
                    put(requests[0], fields, value)
                    what = f"{method.name} {'.'.join(fields)} = {value}"
                    with self.subTest(what):
                        self.check(path, method, requests, what)
                        tried += 1
        self.assertGreater(tried, 1000)

    def test_every_list_of_many(self):
        tried = 0
        for path, method in self.methods():
            for fields, field in paths(method.input_type):
                requests = self.working[method.name]()
                if not repeated(method.input_type, fields):
                    continue
                for value in (0, 1):
                    requests = self.working[method.name]()
                    put(requests[0], fields, value, MANY)
                    what = f"{method.name} {'.'.join(fields)} {MANY} times"
                    with self.subTest(what):
                        self.check(path, method, requests, what)
                        tried += 1
        self.assertGreater(tried, 20)

    @classmethod
    def tearDownClass(cls):
        hostile.encode(connection)
        code = server.stop()
        if code != 0:
            raise AssertionError(f"exit code {code}")


def repeated(descriptor, fields):
    for name in fields:
        field = descriptor.fields_by_name[name]
        if field.is_repeated:
            return True
        descriptor = field.message_type
    return False


if __name__ == "__main__":
    unittest.main()
