// Snapshots: a whole session as a stream of bytes, to be carried to another
// server (docs/sessions.md has the layout). A snapshot carries a checksum per
// section and one over everything, and an HMAC-SHA256 over tenant and body if
// the operator gave a key. SnapshotWriter and SnapshotReader are for one thread
// each and hold one section at a time, never the whole.
#ifndef LONGHAND_CORE_STORE_SNAPSHOT_H_
#define LONGHAND_CORE_STORE_SNAPSHOT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/store/chunk_record.h"
#include "core/store/session_head.h"
#include "core/store/session_store.h"

namespace longhand {

struct SnapshotOptions {
  std::string tenant;
  // Signs and checks; "": unsigned, and signed ones are refused.
  std::string key;
  // Limits of what is read.
  uint64_t max_bytes = uint64_t{16} << 30;
};

class SnapshotWriter {
 public:
  // Hands out bytes in order, in pieces of any size. An error of it ends the
  // writing. It must outlive the writer.
  using Output = absl::FunctionRef<absl::Status(std::string_view bytes)>;

  SnapshotWriter(const SnapshotOptions& options, Output output);
  ~SnapshotWriter();

  // First the head, then head.num_chunks chunks in order, then Finish.
  absl::Status WriteHead(const SessionHead& head);
  absl::Status WriteChunk(const ChunkRecord& chunk);
  absl::Status Finish();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

class SnapshotReader {
 public:
  explicit SnapshotReader(const SnapshotOptions& options);
  ~SnapshotReader();

  // Takes the next bytes, cut anywhere. What is complete becomes available.
  // INVALID_ARGUMENT (SNAPSHOT_INVALID): not a snapshot, damaged, or cut;
  // FAILED_PRECONDITION (FORMAT_TOO_NEW); NOT_FOUND (SNAPSHOT_TENANT) for
  // another tenant's or a wrong signature; RESOURCE_EXHAUSTED
  // (SNAPSHOT_TOO_LARGE).
  absl::Status Append(std::string_view bytes);
  // Once the head is complete, else null.
  const SessionHead* head() const;
  // Needed before chunks are parsed; set it when the head is there.
  void set_decoder(const StateDecoder* decoder);
  // The chunks that became complete since the last call.
  std::vector<std::shared_ptr<const ChunkRecord>> TakeChunks();
  // The end of the bytes: checks the footer. Only now is anything proven.
  absl::Status Finish();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_STORE_SNAPSHOT_H_
