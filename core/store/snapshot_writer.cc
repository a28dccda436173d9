#include <utility>

#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/store/byte_codec.h"
#include "core/store/record_codec.h"
#include "core/store/record_frame.h"
#include "core/store/snapshot.h"
#include "core/store/snapshot_format.h"

namespace longhand {

class SnapshotWriter::Impl {
 public:
  Impl(const SnapshotOptions& options, Output output)
      : tenant_(options.tenant),
        is_signed_(!options.key.empty()),
        sums_(options.tenant, options.key),
        output_(output) {}

  absl::Status WriteHead(const SessionHead& head) {
    LH_CHECK(num_bytes_ == 0);
    num_chunks_ = head.num_chunks;
    ByteWriter writer;
    writer.Bytes(kSnapshotMagic);
    writer.Number(kSnapshotFormatVersion);
    writer.Number(kSnapshotMinReader);
    writer.Number(is_signed_ ? kSnapshotSigned : uint32_t{0});
    const auto tenant = TenantDigest(tenant_);
    writer.Number(uint32_t{tenant.size()});
    LH_CHECK(writer.size() == kSnapshotPreludeBytes);
    writer.Bytes(tenant);
    writer.PadTo(kSnapshotAlignment);
    LH_RETURN_IF_ERROR(Put(writer.bytes()));
    return WriteSection(SnapshotSection::kHead, EncodeHead(head));
  }

  absl::Status WriteChunk(const ChunkRecord& chunk) {
    LH_CHECK(num_bytes_ > 0 && num_chunks_ > 0);
    --num_chunks_;
    return WriteSection(SnapshotSection::kChunk, EncodeChunk(chunk));
  }

  absl::Status Finish() {
    LH_CHECK(num_bytes_ > 0 && num_chunks_ == 0);
    ByteWriter end = SectionHeader(SnapshotSection::kEnd, kFooterBytes, 0);
    end.Number(uint64_t{num_bytes_ + kSectionHeaderBytes + kFooterBytes});
    sums_.Update(end.bytes());
    const auto signature = sums_.Sign();
    end.Bytes(signature);
    end.Bytes(sums_.ChecksumWith(
        {reinterpret_cast<const char*>(signature.data()), signature.size()}));
    end.Bytes(kSnapshotEndMagic);
    return output_(end.bytes());
  }

 private:
  static ByteWriter SectionHeader(SnapshotSection type, uint64_t length,
                                  uint64_t checksum) {
    ByteWriter writer;
    writer.Number(uint32_t(type));
    writer.Number(uint32_t{0});
    writer.Number(length);
    writer.Number(checksum);
    LH_CHECK(writer.size() == kSectionSummedBytes);
    writer.Number(Checksum(writer.bytes()));
    writer.PadTo(kSectionHeaderBytes);
    return writer;
  }

  absl::Status WriteSection(SnapshotSection type, std::string payload) {
    LH_RETURN_IF_ERROR(
        Put(SectionHeader(type, payload.size(), Checksum(payload)).bytes()));
    payload.resize(SnapshotPadded(payload.size()), '\0');
    return Put(payload);
  }

  absl::Status Put(std::string_view bytes) {
    sums_.Update(bytes);
    num_bytes_ += bytes.size();
    return output_(bytes);
  }

  const std::string tenant_;
  const bool is_signed_;
  SnapshotSums sums_;
  const Output output_;
  uint64_t num_bytes_ = 0;
  uint64_t num_chunks_ = 0;  // still to come
};

SnapshotWriter::SnapshotWriter(const SnapshotOptions& options, Output output)
    : impl_(std::make_unique<Impl>(options, output)) {}
SnapshotWriter::~SnapshotWriter() = default;

absl::Status SnapshotWriter::WriteHead(const SessionHead& head) {
  return impl_->WriteHead(head);
}
absl::Status SnapshotWriter::WriteChunk(const ChunkRecord& chunk) {
  return impl_->WriteChunk(chunk);
}
absl::Status SnapshotWriter::Finish() { return impl_->Finish(); }

}  // namespace longhand
