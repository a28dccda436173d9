"""longhand-server refuses what it cannot serve, before it opens its port.

Every server here is told to listen on a port that is taken. One that opened its
port before it had checked the model would therefore complain of the port, not
of the file.
"""

import json
import pathlib
import socket
import struct
import tempfile
import unittest

import programs
import tiny_model

EXIT_START_FAILED = 1
EXIT_BAD_FLAGS = 2


def edit_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


class BadModelTest(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="longhand-test-")
        self.addCleanup(self.folder.cleanup)
        self.model = tiny_model.make_tiny_model(
            pathlib.Path(self.folder.name) / "model", programs.TESTDATA_DIR)
        self.config = self.model / "config.json"
        self.tokenizer = self.model / "tokenizer.json"
        self.weights = self.model / "model.safetensors"
        self.taken = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.taken.close)
        self.taken_address = "127.0.0.1:%d" % self.taken.getsockname()[1]

    def assert_refused(self, *words, flags=(), code=EXIT_START_FAILED):
        """The server exits with `code`; the line that says why has `words`."""
        flags = flags or ("--listen", self.taken_address,
                          "--metrics-listen", self.taken_address)
        with programs.Server(self.model, *flags) as server:
            exit_code = server.wait()
            log = server.log()
            self.assertEqual(exit_code, code, log)
            self.assertFalse(server.opened_port, log)
        words = list(map(str, words))
        self.assertTrue(any(all(word in line for word in words)
                            for line in log.splitlines()), f"{words}:\n{log}")

    def test_the_good_model_gets_as_far_as_the_port(self):
        self.assert_refused(self.taken_address, "in use")

    def test_missing_files(self):
        for name in ("config.json", "tokenizer.json", "model.safetensors"):
            with self.subTest(name):
                path = self.model / name
                content = path.read_bytes()
                path.unlink()
                self.assert_refused(self.model, name)
                path.write_bytes(content)

    def test_missing_directory(self):
        self.model = self.model / "absent"
        self.assert_refused(self.model)

    def test_config_that_is_not_json(self):
        self.config.write_text("{")
        self.assert_refused(self.config)

    def test_tokenizer_that_is_not_json(self):
        self.tokenizer.write_text("{")
        self.assert_refused(self.tokenizer)

    def test_tokenizer_of_another_model(self):
        document = json.loads(self.tokenizer.read_text())
        vocab = document["model"]["vocab"]
        vocab.update({f"word{i}": len(vocab) + i for i in range(300)})
        self.tokenizer.write_text(json.dumps(document))
        self.assert_refused(self.tokenizer)

    def test_unknown_family(self):
        edit_json(self.config, model_type="gpt9")
        self.assert_refused(self.config, "gpt9", "bert")

    def test_config_of_another_size(self):
        edit_json(self.config, hidden_size=128)
        self.assert_refused(self.weights)
        edit_json(self.config, hidden_size=64, num_attention_heads=5)
        self.assert_refused("config.json", "attention heads")

    def test_truncated_weights(self):
        content = self.weights.read_bytes()
        (header_size,) = struct.unpack_from("<Q", content)
        data_begin = 8 + header_size
        for size in (0, 1, 7, 8, 9, data_begin // 2, data_begin - 1, data_begin,
                     data_begin + 1, len(content) // 2, len(content) - 4,
                     len(content) - 1):
            with self.subTest(size=size):
                self.weights.write_bytes(content[:size])
                self.assert_refused(self.weights)

    def test_corrupt_weights(self):
        content = self.weights.read_bytes()
        huge = struct.pack("<Q", 2**63 - 1)
        for name, bad in {
                "header size": huge + content[8:],
                "header text": content[:8] + b"\xff" * 64 + content[72:],
                "more bytes": content + b"\0",
                "not a model": b"\x80\x02ctorch" * 100,
        }.items():
            with self.subTest(name):
                self.weights.write_bytes(bad)
                self.assert_refused(self.weights)

    def test_overlapping_tensors(self):
        header, data = tiny_model.read_safetensors(self.weights)
        first, second = [name for name in header if name != "__metadata__"][:2]
        begin = header[first]["data_offsets"][0]
        size = (header[second]["data_offsets"][1]
                - header[second]["data_offsets"][0])
        header[second]["data_offsets"] = [begin, begin + size]
        tiny_model.write_safetensors(self.weights, header, data)
        self.assert_refused(self.weights)

    def test_wrong_shape(self):
        header, data = tiny_model.read_safetensors(self.weights)
        name = "embeddings.word_embeddings.weight"
        header[name]["shape"].reverse()
        tiny_model.write_safetensors(self.weights, header, data)
        self.assert_refused(self.weights, name)

    def test_missing_tensor(self):
        header, data = tiny_model.read_safetensors(self.weights)
        name = "encoder.layer.1.output.dense.bias"
        header[name + "x"] = header.pop(name)
        tiny_model.write_safetensors(self.weights, header, data)
        self.assert_refused(self.weights, name)

    def test_extra_tensor(self):
        header, data = tiny_model.read_safetensors(self.weights)
        header["surplus.weight"] = {
            "dtype": "F32", "shape": [2], "data_offsets": [len(data),
                                                           len(data) + 8]}
        tiny_model.write_safetensors(self.weights, header, data + bytes(8))
        self.assert_refused(self.weights, "surplus.weight")

    def test_weights_that_are_not_numbers(self):
        header, data = tiny_model.read_safetensors(self.weights)
        name = "encoder.layer.0.attention.self.query.weight"
        for value in (float("nan"), float("inf")):
            with self.subTest(value=value):
                bad = bytearray(data)
                struct.pack_into("<f", bad, header[name]["data_offsets"][0] + 8,
                                 value)
                tiny_model.write_safetensors(self.weights, header, bytes(bad))
                self.assert_refused(self.weights, name)

    def test_port_of_a_running_server(self):
        with programs.Server(self.model) as running:
            address = running.wait_until_ready().address
            self.assert_refused(address, "in use", flags=("--listen", address))
            self.assertEqual(running.stop(), 0)

    def test_plaintext_for_other_machines(self):
        for address in ("0.0.0.0:0", "[::]:0"):
            with self.subTest(address):
                self.assert_refused(
                    address, "TLS", "--tls-cert", flags=("--listen", address),
                    code=EXIT_BAD_FLAGS)


if __name__ == "__main__":
    unittest.main(verbosity=2)
