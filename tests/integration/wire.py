"""Talks to the server through gRPC's Python library and freshly made stubs.

Nothing of ours lies between these calls and the server's port.
"""

import array
import dataclasses
import os
import pathlib
import sys

import grpc
from google.rpc import error_details_pb2
from google.rpc import status_pb2
from grpc_tools import protoc

CALL_SECONDS = 900  # so that a hanging call ends the test


def make_stubs():
    """Generates the Python modules of proto/ and makes them importable."""
    out = pathlib.Path(os.environ["INTEGRATION_WORK_DIR"]) / "stubs"
    out.mkdir(parents=True, exist_ok=True)
    proto = os.environ["INTEGRATION_PROTO_DIR"]
    well_known = pathlib.Path(protoc.__file__).parent / "_proto"
    code = protoc.main([
        "protoc", f"-I{proto}", f"-I{os.environ['INTEGRATION_GOOGLEAPIS_DIR']}",
        f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}",
        "longhand/v1/encoder_service.proto",
        "longhand/v1/model_service.proto",
        "longhand/v1/session_service.proto"])
    if code != 0:
        raise RuntimeError("protoc failed")
    sys.path.insert(0, str(out))


make_stubs()
# pylint: disable=wrong-import-position
from longhand.v1 import encoder_service_pb2 as encoder_pb
from longhand.v1 import encoder_service_pb2_grpc as encoder_grpc
from longhand.v1 import model_service_pb2 as model_pb
from longhand.v1 import model_service_pb2_grpc as model_grpc
from longhand.v1 import session_service_pb2 as session_pb
from longhand.v1 import session_service_pb2_grpc as session_grpc


class Connection:
    """A channel and its stubs. `channel`: to be used for `address`."""

    def __init__(self, address, channel=None):
        self.channel = channel or grpc.insecure_channel(address)
        self.encoder = encoder_grpc.EncoderServiceStub(self.channel)
        self.models = model_grpc.ModelServiceStub(self.channel)
        self.sessions = session_grpc.SessionServiceStub(self.channel)

    def close(self):
        self.channel.close()


@dataclasses.dataclass
class Encoded:
    """What came back for a document, whichever call it was."""
    spans: list  # (begin_byte, end_byte, begin_token, end_token) per chunk
    vectors: array.array  # [chunks, hidden]
    document_vector: array.array  # [hidden]
    weights: array.array  # of all chunks, one after the other
    tokens: list  # (id, begin_byte, end_byte)
    token_vectors: array.array  # [tokens, hidden]
    chunks: list  # the messages
    head_weights: list  # the messages, in the order in which they came
    span_vectors: list
    summary: object = None


def floats(data):
    """The values of little-endian float32 bytes."""
    values = array.array("f", data)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def empty():
    return Encoded([], floats(b""), floats(b""), floats(b""), [], floats(b""),
                   [], [], [])


def add_chunk(encoded, chunk):
    if chunk.index != len(encoded.spans):
        raise AssertionError(f"chunk {chunk.index} came as number "
                             f"{len(encoded.spans)}")
    encoded.spans.append((chunk.begin_byte, chunk.end_byte, chunk.begin_token,
                          chunk.end_token))
    encoded.chunks.append(chunk)
    encoded.vectors.extend(floats(chunk.vector))
    encoded.weights.extend(floats(chunk.retrieval_weights))


def add_tokens(encoded, tokens):
    if tokens.begin_token != len(encoded.tokens):
        raise AssertionError(f"token {tokens.begin_token} came as number "
                             f"{len(encoded.tokens)}")
    encoded.tokens.extend(zip(tokens.ids, tokens.begin_bytes,
                              tokens.end_bytes, strict=True))
    encoded.token_vectors.extend(floats(tokens.vectors))


def from_response(response):
    encoded = empty()
    for chunk in response.chunks:
        add_chunk(encoded, chunk)
    for tokens in response.token_vectors:
        add_tokens(encoded, tokens)
    encoded.head_weights.extend(response.head_retrieval_weights)
    encoded.span_vectors.extend(response.span_vectors)
    encoded.document_vector = floats(response.document_vector)
    encoded.summary = response.summary
    return encoded


def from_json(document):
    """Of what `longhand encode --output json` writes."""
    encoded = empty()
    for chunk in document["chunks"]:
        encoded.spans.append(tuple(chunk[key] for key in (
            "begin_byte", "end_byte", "begin_token", "end_token")))
        encoded.vectors.extend(chunk["vector"])
    encoded.document_vector.extend(document["document_vector"])
    return encoded


def encode(connection, text, **options):
    """Unary Encode."""
    request = encoder_pb.EncodeRequest(
        options=encoder_pb.EncodeOptions(**options), text=text)
    return from_response(
        connection.encoder.Encode(request, timeout=CALL_SECONDS))


def stream_requests(pieces, **options):
    yield encoder_pb.EncodeStreamRequest(
        config=encoder_pb.EncodeOptions(**options))
    for piece in pieces:
        yield encoder_pb.EncodeStreamRequest(text=piece)


def encode_stream(connection, pieces, **options):
    """EncodeStream of a text that is sent in `pieces`."""
    encoded = empty()
    for response in connection.encoder.EncodeStream(
            stream_requests(pieces, **options), timeout=CALL_SECONDS):
        if encoded.summary is not None:
            raise AssertionError("a message came after the result")
        kind = response.WhichOneof("payload")
        if kind == "chunk":
            add_chunk(encoded, response.chunk)
        elif kind == "token_vectors":
            add_tokens(encoded, response.token_vectors)
        elif kind == "head_retrieval_weights":
            encoded.head_weights.append(response.head_retrieval_weights)
        elif kind == "span_vector":
            encoded.span_vectors.append(response.span_vector)
        elif kind == "result":
            encoded.document_vector = floats(response.result.document_vector)
            encoded.summary = response.result.summary
        elif kind != "progress":
            raise AssertionError(f"unknown payload {kind}")
    if encoded.summary is None:
        raise AssertionError("the stream ended without a result")
    return encoded


def error_info(status):
    """The one google.rpc.ErrorInfo of a google.rpc.Status, or None."""
    infos = []
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            infos.append(info)
    if len(infos) > 1:
        raise AssertionError(f"{len(infos)} ErrorInfo in {status}")
    return infos[0] if infos else None


def rpc_status(error):
    """The google.rpc.Status in a failed call's trailers, or None."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return status_pb2.Status.FromString(value)
    return None
