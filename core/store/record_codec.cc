#include "core/store/record_codec.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/store/byte_codec.h"
#include "core/store/record_frame.h"
#include "core/store/store_errors.h"

namespace longhand {
namespace {

// Enumerators are stored as their values: these must never change.
static_assert(int(SessionState::kOpen) == 0 &&
              int(SessionState::kEvicted) == 3);
static_assert(int(ContentKind::kUnknown) == 0 && int(ContentKind::kIds) == 2);
static_assert(int(Visibility::kCausal) == 0 && int(Visibility::kTwoPass) == 2);
static_assert(int(FeatureMap::kElu) == 0 && int(FeatureMap::kSoftmax) == 1);
static_assert(int(Merge::kGate) == 0 && int(Merge::kBalancedLse) == 2);

template <typename Enum>
void WriteEnum(Enum value, ByteWriter& writer) {
  writer.Number(uint8_t(value));
}

// `last` is the last enumerator that this version knows.
template <typename Enum>
Enum ReadEnum(Enum last, ByteReader& reader) {
  const auto value = reader.Number<uint8_t>();
  if (value > uint8_t(last)) reader.Fail();
  return reader.ok() ? Enum(value) : Enum(0);
}

bool ReadFlag(ByteReader& reader) {
  const auto flag = reader.Number<uint8_t>();
  if (flag > 1) reader.Fail();
  return reader.ok() && flag == 1;
}

template <typename T>
void WriteOptional(const std::optional<T>& value, ByteWriter& writer) {
  writer.Number(uint8_t{value.has_value()});
  if (!value) return;
  if constexpr (std::is_enum_v<T>) {
    WriteEnum(*value, writer);
  } else {
    writer.Number(*value);
  }
}

template <typename T>
std::optional<T> ReadOptional(ByteReader& reader) {
  static_assert(!std::is_enum_v<T>);
  if (!ReadFlag(reader)) return std::nullopt;
  return reader.Number<T>();
}
template <typename Enum>
std::optional<Enum> ReadOptionalEnum(Enum last, ByteReader& reader) {
  if (!ReadFlag(reader)) return std::nullopt;
  return ReadEnum(last, reader);
}

// Nanoseconds; the ends of the range are infinite.
void WriteDuration(absl::Duration duration, ByteWriter& writer) {
  writer.Number(int64_t{absl::ToInt64Nanoseconds(duration)});
}
absl::Duration ReadDuration(ByteReader& reader) {
  const auto nanoseconds = reader.Number<int64_t>();
  if (nanoseconds == std::numeric_limits<int64_t>::max()) {
    return absl::InfiniteDuration();
  }
  if (nanoseconds == std::numeric_limits<int64_t>::min()) {
    return -absl::InfiniteDuration();
  }
  return absl::Nanoseconds(nanoseconds);
}

void WriteTime(absl::Time time, ByteWriter& writer) {
  WriteDuration(time - absl::UnixEpoch(), writer);
}
absl::Time ReadTime(ByteReader& reader) {
  return absl::UnixEpoch() + ReadDuration(reader);
}

void WriteOptions(const EncodeOptions& options, ByteWriter& writer) {
  writer.Blob(options.mechanism);
  WriteOptional(options.visibility, writer);
  WriteOptional(options.gate, writer);
  writer.Array(options.head_gates);
  writer.Array(options.retrieval_layers);
  WriteOptional(options.features, writer);
  WriteOptional(options.merge, writer);
  WriteOptional(options.top_k, writer);
  WriteOptional(options.anchors, writer);
  WriteOptional(options.anchor_share, writer);
  WriteOptional(options.neighbors, writer);
  writer.Blob(options.state_codec);
  WriteOptional(options.state_rank, writer);
  writer.Blob(options.chunker);
  WriteOptional(options.chunk_tokens, writer);
  WriteOptional(options.min_chunk_tokens, writer);
  WriteOptional(options.overlap_tokens, writer);
  writer.Blob(options.pooling);
  WriteOptional(options.anchor_weight, writer);
  WriteOptional(options.document_weight, writer);
}

EncodeOptions ReadOptions(ByteReader& reader) {
  EncodeOptions options;
  options.mechanism = reader.Blob();
  options.visibility = ReadOptionalEnum(Visibility::kTwoPass, reader);
  options.gate = ReadOptional<float>(reader);
  options.head_gates = reader.Array<float>();
  options.retrieval_layers = reader.Array<int>();
  options.features = ReadOptionalEnum(FeatureMap::kSoftmax, reader);
  options.merge = ReadOptionalEnum(Merge::kBalancedLse, reader);
  options.top_k = ReadOptional<int>(reader);
  options.anchors = ReadOptional<int>(reader);
  options.anchor_share = ReadOptional<float>(reader);
  options.neighbors = ReadOptional<int>(reader);
  options.state_codec = reader.Blob();
  options.state_rank = ReadOptional<int>(reader);
  options.chunker = reader.Blob();
  options.chunk_tokens = ReadOptional<int>(reader);
  options.min_chunk_tokens = ReadOptional<int>(reader);
  options.overlap_tokens = ReadOptional<int>(reader);
  options.pooling = reader.Blob();
  options.anchor_weight = ReadOptional<float>(reader);
  options.document_weight = ReadOptional<float>(reader);
  return options;
}

// The version of heads that brought the options below.
constexpr uint16_t kMechanismOptionsVersion = 2;

// By name, those that are set.
void WriteMechanismOptions(const EncodeOptions& options, ByteWriter& writer) {
  ByteWriter numbers;
  uint64_t count = 0;
  for (const MechanismField& field : MechanismFields()) {
    const std::optional<int>& value = options.mechanism_options.*field.value;
    if (!value) continue;
    ++count;
    numbers.Blob(field.name);
    numbers.Number(int32_t{*value});
  }
  writer.Number(count);
  writer.Bytes(numbers.bytes());
  writer.Array(options.global_tokens);
}

bool IsFieldName(std::string_view name) {
  return !name.empty() &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") ==
             std::string_view::npos;
}

absl::Status ReadMechanismOptions(ByteReader& reader, EncodeOptions* options) {
  const auto count = reader.Number<uint64_t>();
  for (uint64_t i = 0; i < count && reader.ok(); ++i) {
    const std::string_view name = reader.Blob();
    const auto value = reader.Number<int32_t>();
    const auto fields = MechanismFields();
    const auto field = std::find_if(
        fields.begin(), fields.end(),
        [name](const MechanismField& known) { return known.name == name; });
    if (field == fields.end()) {
      // The checksum was right: a newer server's, if it is a name at all.
      if (IsFieldName(name)) return FormatTooNewError("a stored session");
      reader.Fail();
      break;
    }
    std::optional<int>& option = options->mechanism_options.*field->value;
    if (option.has_value()) reader.Fail();
    option = value;
  }
  options->global_tokens = reader.Array<int64_t>();
  return absl::OkStatus();
}

void WriteAppend(const AppendRecord& append, ByteWriter& writer) {
  writer.Bytes(append.append_id);
  writer.Number(append.expected_offset);
  writer.Number(append.length);
  writer.Bytes(append.payload_hash);
  writer.Number(append.committed_offset);
  writer.Number(append.encoded_offset);
  writer.Bytes(append.digest);
}

AppendRecord ReadAppend(ByteReader& reader) {
  AppendRecord append;
  reader.Bytes(&append.append_id);
  append.expected_offset = reader.Number<uint64_t>();
  append.length = reader.Number<uint64_t>();
  reader.Bytes(&append.payload_hash);
  append.committed_offset = reader.Number<uint64_t>();
  append.encoded_offset = reader.Number<uint64_t>();
  reader.Bytes(&append.digest);
  return append;
}

void WritePlace(const Chunk& place, ByteWriter& writer) {
  writer.Number(place.begin);
  writer.Number(place.end);
  writer.Number(place.window_begin);
  writer.Number(place.window_end);
}

Chunk ReadPlace(ByteReader& reader) {
  Chunk place;
  place.begin = reader.Number<int64_t>();
  place.end = reader.Number<int64_t>();
  place.window_begin = reader.Number<int64_t>();
  place.window_end = reader.Number<int64_t>();
  if (place.window_begin < 0 || place.begin < place.window_begin ||
      place.end < place.begin || place.window_end < place.end) {
    reader.Fail();
  }
  return place;
}

// Whether its parts are as long as its place says.
bool IsConsistent(const ChunkRecord& chunk) {
  const auto tokens = uint64_t(chunk.place.size());
  return tokens <= uint64_t{std::numeric_limits<int>::max()} &&
         chunk.ids.size() == tokens &&
         chunk.token_begin.size() == chunk.token_end.size() &&
         (chunk.token_begin.empty() || chunk.token_begin.size() == tokens) &&
         chunk.begin_byte <= chunk.end_byte &&
         chunk.text.size() == chunk.end_byte - chunk.begin_byte;
}

}  // namespace

std::string EncodeHead(const SessionHead& head) {
  ByteWriter writer = BeginRecord(RecordKind::kHead);
  WriteEnum(head.state, writer);
  WriteOptions(head.options, writer);
  writer.Number(uint64_t{head.fingerprint.size()});
  for (const FingerprintField& field : head.fingerprint) {
    writer.Blob(field.name);
    writer.Blob(field.value);
  }
  WriteEnum(head.kind, writer);
  writer.Number(head.committed_offset);
  writer.Number(head.num_chunks);
  writer.Number(head.num_tokens);
  writer.Blob(head.tail);
  writer.Bytes(head.digest);
  LH_CHECK(head.appends.size() <= SessionHead::kMaxAppendRecords);
  writer.Number(uint64_t{head.appends.size()});
  for (const AppendRecord& append : head.appends) WriteAppend(append, writer);
  WriteTime(head.create_time, writer);
  WriteTime(head.expire_time, writer);
  WriteDuration(head.ttl, writer);
  writer.Blob(head.parent);
  WriteMechanismOptions(head.options, writer);
  return EndRecord(std::move(writer));
}

absl::StatusOr<SessionHead> DecodeHead(std::string_view bytes) {
  LH_ASSIGN_OR_RETURN(OpenedRecord record,
                      OpenRecord(RecordKind::kHead, bytes));
  ByteReader& reader = record.body;
  SessionHead head;
  head.state = ReadEnum(SessionState::kEvicted, reader);
  head.options = ReadOptions(reader);
  const auto num_fields = reader.Number<uint64_t>();
  for (uint64_t i = 0; i < num_fields && reader.ok(); ++i) {
    FingerprintField field;
    field.name = reader.Blob();
    field.value = reader.Blob();
    head.fingerprint.push_back(std::move(field));
  }
  head.kind = ReadEnum(ContentKind::kIds, reader);
  head.committed_offset = reader.Number<uint64_t>();
  head.num_chunks = reader.Number<uint64_t>();
  head.num_tokens = reader.Number<uint64_t>();
  head.tail = reader.Blob();
  reader.Bytes(&head.digest);
  const auto num_appends = reader.Number<uint64_t>();
  if (num_appends > SessionHead::kMaxAppendRecords) reader.Fail();
  for (uint64_t i = 0; i < num_appends && reader.ok(); ++i) {
    head.appends.push_back(ReadAppend(reader));
  }
  head.create_time = ReadTime(reader);
  head.expire_time = ReadTime(reader);
  head.ttl = ReadDuration(reader);
  head.parent = reader.Blob();
  if (record.format_version < kMechanismOptionsVersion) {
    head.options.mechanism_options = DefaultMechanismOptions();
  } else {
    LH_RETURN_IF_ERROR(ReadMechanismOptions(reader, &head.options));
  }
  LH_RETURN_IF_ERROR(record.Close());
  return head;
}

std::string EncodeChunk(const ChunkRecord& chunk) {
  LH_CHECK(chunk.encoded != nullptr && IsConsistent(chunk));
  const ChunkState* state = chunk.encoded->state.get();
  ByteWriter writer = BeginRecord(RecordKind::kChunk);
  writer.bytes().reserve(chunk.own_bytes() + chunk.encoded->bytes() + 256);
  WritePlace(chunk.place, writer);
  writer.Number(chunk.begin_byte);
  writer.Number(chunk.end_byte);
  writer.Array(chunk.ids);
  writer.Array(chunk.token_begin);
  writer.Array(chunk.token_end);
  writer.Blob(chunk.text);
  writer.Number(chunk.restart.byte);
  writer.Number(chunk.restart.token);
  writer.Bytes(chunk.encoded->key);
  writer.Array(chunk.encoded->pooled);
  writer.Number(uint8_t{state != nullptr});
  if (state != nullptr) {
    writer.Blob({reinterpret_cast<const char*>(state->bytes().data()),
                 state->bytes().size()});
  }
  return EndRecord(std::move(writer));
}

absl::StatusOr<std::shared_ptr<const ChunkRecord>> DecodeChunk(
    std::string_view bytes, const StateDecoder& decoder) {
  LH_ASSIGN_OR_RETURN(OpenedRecord record,
                      OpenRecord(RecordKind::kChunk, bytes));
  ByteReader& reader = record.body;
  auto chunk = std::make_shared<ChunkRecord>();
  auto encoded = std::make_shared<EncodedChunk>();
  chunk->place = ReadPlace(reader);
  chunk->begin_byte = reader.Number<uint64_t>();
  chunk->end_byte = reader.Number<uint64_t>();
  chunk->ids = reader.Array<int32_t>();
  chunk->token_begin = reader.Array<uint32_t>();
  chunk->token_end = reader.Array<uint32_t>();
  chunk->text = reader.Blob();
  chunk->restart.byte = reader.Number<uint64_t>();
  chunk->restart.token = reader.Number<uint64_t>();
  reader.Bytes(&encoded->key);
  encoded->pooled = reader.Array<float>();
  const bool has_state = ReadFlag(reader);
  const std::string_view state = has_state ? reader.Blob() : std::string_view();
  if (reader.ok() && !IsConsistent(*chunk)) reader.Fail();
  LH_RETURN_IF_ERROR(record.Close());
  if (has_state) {
    LH_ASSIGN_OR_RETURN(encoded->state,
                        decoder.DecodeState(int(chunk->place.size()), state));
  }
  chunk->encoded = std::move(encoded);
  return chunk;
}

}  // namespace longhand
