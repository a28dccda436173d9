// ChunkRecord: one final chunk of a session: its place, its text and tokens,
// and what the encoder made of it. Immutable once made; shared between a
// session, its forks, the content cache and stores; safe from many threads.
#ifndef LONGHAND_CORE_STORE_CHUNK_RECORD_H_
#define LONGHAND_CORE_STORE_CHUNK_RECORD_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/chunking/chunker.h"
#include "core/engine/working_memory.h"
#include "core/state/chunk_state.h"
#include "core/store/session_key.h"

namespace longhand {

// What the encoder made of one chunk. Depends on nothing but what the key
// covers, so sessions of one tenant share it.
struct EncodedChunk {
  ChunkKey key{};
  // Null for mechanisms without states.
  std::shared_ptr<const ChunkState> state;
  // [hidden], as pooled, before normalisation and context. Empty where vectors
  // depend on later chunks as well (two_pass).
  std::vector<float> pooled;
  // What it takes of the session memory, given back with the last reference.
  // Null in tests of stores.
  std::shared_ptr<const MemoryReservation> charge;

  // Bytes in memory.
  uint64_t bytes() const {
    return sizeof(EncodedChunk) + pooled.size() * sizeof(float) +
           (state == nullptr ? 0 : state->charge());
  }
};

// A place where the tokenizer can begin anew: the text before `byte` gives the
// first `token` tokens whatever follows.
struct RestartPoint {
  uint64_t byte = 0;
  uint64_t token = 0;

  bool operator==(const RestartPoint&) const = default;
};

struct ChunkRecord {
  Chunk place;                            // in tokens of the document
  uint64_t begin_byte = 0, end_byte = 0;  // both 0 for documents of token ids
  // Of the tokens [place.begin, place.end).
  std::vector<int32_t> ids;
  // Byte offsets of these tokens, counted from begin_byte; empty for documents
  // of token ids.
  std::vector<uint32_t> token_begin, token_end;
  // The bytes [begin_byte, end_byte); empty for documents of token ids.
  std::string text;
  // The last one at or before the chunk's last token.
  RestartPoint restart;
  std::shared_ptr<const EncodedChunk> encoded;

  // Bytes in memory, `encoded` left out.
  uint64_t own_bytes() const {
    return sizeof(ChunkRecord) + text.size() + ids.size() * sizeof(int32_t) +
           (token_begin.size() + token_end.size()) * sizeof(uint32_t);
  }
};

}  // namespace longhand

#endif  // LONGHAND_CORE_STORE_CHUNK_RECORD_H_
