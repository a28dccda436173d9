// The bytes of stored heads and chunks: framed, versioned, with a checksum over
// all of it (docs/sessions.md has the layout). Reading never trusts a length:
// each is checked before anything is allocated. Pure functions; safe from any
// thread.
#ifndef LONGHAND_CORE_STORE_RECORD_CODEC_H_
#define LONGHAND_CORE_STORE_RECORD_CODEC_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/store/chunk_record.h"
#include "core/store/session_head.h"
#include "core/store/session_store.h"

namespace longhand {

std::string EncodeHead(const SessionHead& head);
// DATA_LOSS (STORE_CORRUPT); FAILED_PRECONDITION (FORMAT_TOO_NEW) if a newer
// version of this program wrote it.
absl::StatusOr<SessionHead> DecodeHead(std::string_view bytes);

std::string EncodeChunk(const ChunkRecord& chunk);
absl::StatusOr<std::shared_ptr<const ChunkRecord>> DecodeChunk(
    std::string_view bytes, const StateDecoder& decoder);

}  // namespace longhand

#endif  // LONGHAND_CORE_STORE_RECORD_CODEC_H_
