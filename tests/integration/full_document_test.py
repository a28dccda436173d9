"""A whole book through EncodeStream with the default model.

Besides the tiling of the spans it checks what causal visibility promises: what
comes later changes nothing, so the book's beginning, encoded on its own, has
the book's first chunk vectors.
"""

import random
import unittest

import documents
import programs
import wire
import wire_case
from wire import encoder_pb

MIN_BYTES = 1_000_000
BEGINNING_BYTES = 50_000


class FullDocumentTest(wire_case.WireCase):

    def test_full_document(self):
        document = documents.read_document(MIN_BYTES)
        pieces = documents.random_pieces(document, random.Random(5), 1 << 20)
        # What is to come has no part in these vectors.
        options = {"visibility": encoder_pb.VISIBILITY_CAUSAL,
                   "document_weight": 0}
        with programs.Server(programs.MODEL_DIR) as server:
            connection = wire.Connection(server.wait_until_ready().address)
            encoded = wire.encode_stream(connection, pieces, **options)
            self.assert_whole(encoded, document)
            self.assertEqual(encoded.summary.reused_tokens, 0)
            self.assertGreater(len(encoded.spans), 1000)
            beginning = wire.encode(
                connection, documents.beginning(document, BEGINNING_BYTES),
                **options)
            connection.close()
            self.assertEqual(server.stop(), 0)
        # The last chunk of the beginning is cut short.
        chunks = len(beginning.spans) - 1
        values = chunks * beginning.summary.hidden_size
        self.assertEqual(encoded.spans[:chunks], beginning.spans[:chunks])
        self.assert_close(encoded.vectors[:values], beginning.vectors[:values],
                          "vectors of the beginning")


if __name__ == "__main__":
    unittest.main(verbosity=2)
