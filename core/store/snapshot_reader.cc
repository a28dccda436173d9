#include <openssl/crypto.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/store/byte_codec.h"
#include "core/store/record_codec.h"
#include "core/store/record_frame.h"
#include "core/store/snapshot.h"
#include "core/store/snapshot_format.h"
#include "core/store/store_errors.h"

namespace longhand {
namespace {

absl::Status Invalid(std::string_view what) {
  return MakeError(
      absl::StatusCode::kInvalidArgument, "SNAPSHOT_INVALID",
      absl::StrCat("the snapshot ", ToAbsl(what), "; make and send it again"));
}

// The same for every reason: it tells nobody whose a snapshot is.
absl::Status NotOurs() {
  return MakeError(absl::StatusCode::kNotFound, "SNAPSHOT_TENANT",
                   "the snapshot does not belong to this tenant, or was signed "
                   "with another key than the server's; use the one that this "
                   "tenant made, on servers with a common key");
}

bool IsZero(std::string_view bytes) {
  return bytes.find_first_not_of('\0') == std::string_view::npos;
}

bool SameBytes(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}
template <size_t N>
std::string_view AsText(const std::array<uint8_t, N>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), N};
}

// A record's error as one of the snapshot; newer formats stay that.
absl::Status RecordError(const absl::Status& status) {
  return status.code() == absl::StatusCode::kDataLoss
             ? Invalid("holds a record that contradicts itself")
             : status;
}

}  // namespace

class SnapshotReader::Impl {
 public:
  explicit Impl(const SnapshotOptions& options)
      : options_(options), sums_(options.tenant, options.key) {}

  absl::Status Append(std::string_view bytes) {
    LH_RETURN_IF_ERROR(status_);
    received_ += bytes.size();
    if (received_ > options_.max_bytes) {
      return status_ = MakeError(
                 absl::StatusCode::kResourceExhausted, "SNAPSHOT_TOO_LARGE",
                 absl::StrCat("the snapshot is larger than the limit of ",
                              options_.max_bytes, " bytes"),
                 {{"limit_bytes", absl::StrCat(options_.max_bytes)}});
    }
    buffer_.append(bytes);
    return Parse();
  }

  absl::Status Finish() {
    LH_RETURN_IF_ERROR(status_);
    if (step_ != Step::kDone) return status_ = Invalid("ends too early");
    return absl::OkStatus();
  }

  const SessionHead* head() const { return head_ ? &*head_ : nullptr; }
  void set_decoder(const StateDecoder* decoder) {
    decoder_ = decoder;
    // Its error comes with the next call that has one.
    static_cast<void>(Parse());
  }
  std::vector<std::shared_ptr<const ChunkRecord>> TakeChunks() {
    return std::exchange(chunks_, {});
  }

 private:
  enum class Step { kPrelude, kHeader, kSection, kPayload, kFooter, kDone };

  absl::Status Parse() {
    while (status_.ok() && buffer_.size() - place_ >= wanted_ &&
           !WaitsForDecoder()) {
      if (step_ == Step::kDone) {
        if (place_ < buffer_.size()) {
          status_ = Invalid("goes on behind its end");
        }
        break;
      }
      const std::string_view part =
          std::string_view(buffer_).substr(place_, wanted_);
      place_ += wanted_;
      status_ = Take(part);
    }
    buffer_.erase(0, place_);
    place_ = 0;
    return status_;
  }

  bool WaitsForDecoder() const {
    return step_ == Step::kPayload && type_ == SnapshotSection::kChunk &&
           decoder_ == nullptr;
  }

  // The next part, [wanted_] bytes; says what comes after it.
  absl::Status Take(std::string_view part) {
    if (step_ != Step::kFooter) sums_.Update(part);
    switch (step_) {
      case Step::kPrelude:
        return TakePrelude(part);
      case Step::kHeader:
        return TakeHeader(part);
      case Step::kSection:
        return TakeSection(part);
      case Step::kPayload:
        return TakePayload(part);
      case Step::kFooter:
        return TakeFooter(part);
      case Step::kDone:
        break;
    }
    return absl::OkStatus();
  }

  void Expect(Step step, uint64_t bytes) {
    step_ = step;
    wanted_ = bytes;
  }

  absl::Status TakePrelude(std::string_view part) {
    ByteReader reader(part);
    if (reader.Bytes(kSnapshotMagic.size()) != kSnapshotMagic) {
      return Invalid("is not one of Longhand's");
    }
    reader.Number<uint16_t>();  // the version; min_reader decides
    const auto min_reader = reader.Number<uint16_t>();
    if (min_reader > kSnapshotFormatVersion) {
      return FormatTooNewError("the snapshot");
    }
    const auto flags = reader.Number<uint32_t>();
    header_bytes_ = reader.Number<uint32_t>();
    if ((flags & ~kSnapshotSigned) != 0 ||
        header_bytes_ < sizeof(SessionDigest) ||
        header_bytes_ > kSnapshotMaxHeaderBytes) {
      return Invalid("has a damaged header");
    }
    if ((flags == kSnapshotSigned) != !options_.key.empty()) return NotOurs();
    Expect(Step::kHeader,
           SnapshotPadded(kSnapshotPreludeBytes + header_bytes_) -
               kSnapshotPreludeBytes);
    return absl::OkStatus();
  }

  absl::Status TakeHeader(std::string_view part) {
    const auto tenant = TenantDigest(options_.tenant);
    if (!SameBytes(part.substr(0, tenant.size()), AsText(tenant))) {
      return NotOurs();
    }
    if (!IsZero(part.substr(header_bytes_))) {
      return Invalid("has a damaged header");
    }
    Expect(Step::kSection, kSectionHeaderBytes);
    return absl::OkStatus();
  }

  absl::Status TakeSection(std::string_view part) {
    ByteReader reader(part);
    const auto type = reader.Number<uint32_t>();
    const auto zero = reader.Number<uint32_t>();
    length_ = reader.Number<uint64_t>();
    checksum_ = reader.Number<uint64_t>();
    if (reader.Number<uint64_t>() !=
            Checksum(part.substr(0, kSectionSummedBytes)) ||
        zero != 0 ||
        !IsZero(part.substr(kSectionSummedBytes + sizeof(uint64_t)))) {
      return Invalid("is damaged");
    }
    type_ = SnapshotSection(type);
    const SnapshotSection due =
        !head_ ? SnapshotSection::kHead
               : (num_read_ < head_->num_chunks ? SnapshotSection::kChunk
                                                : SnapshotSection::kEnd);
    if (type_ != due || length_ > kMaxSectionBytes) {
      return Invalid("does not hold what its head says");
    }
    if (type_ != SnapshotSection::kEnd) {
      Expect(Step::kPayload, SnapshotPadded(length_));
    } else if (length_ == kFooterBytes && checksum_ == 0) {
      Expect(Step::kFooter, kFooterBytes);
    } else {
      return Invalid("has a damaged end");
    }
    return absl::OkStatus();
  }

  absl::Status TakePayload(std::string_view part) {
    const std::string_view payload = part.substr(0, length_);
    if (Checksum(payload) != checksum_ || !IsZero(part.substr(length_))) {
      return Invalid("is damaged");
    }
    if (type_ == SnapshotSection::kHead) {
      absl::StatusOr<SessionHead> head = DecodeHead(payload);
      if (!head.ok()) return RecordError(head.status());
      head_ = *std::move(head);
    } else {
      auto chunk = DecodeChunk(payload, *decoder_);
      if (!chunk.ok()) return RecordError(chunk.status());
      chunks_.push_back(*std::move(chunk));
      ++num_read_;
    }
    Expect(Step::kSection, kSectionHeaderBytes);
    return absl::OkStatus();
  }

  absl::Status TakeFooter(std::string_view part) {
    ByteReader reader(part);
    const std::string_view length_bytes = reader.Bytes(sizeof(uint64_t));
    const auto length = ByteReader(length_bytes).Number<uint64_t>();
    const std::string_view signature = reader.Bytes(32);
    const std::string_view checksum = reader.Bytes(16);
    const std::string_view magic = reader.Bytes(kSnapshotEndMagic.size());
    sums_.Update(length_bytes);
    const auto expected_signature = sums_.Sign();
    // What is damaged is no forgery.
    if (!SameBytes(checksum, AsText(sums_.ChecksumWith(signature))) ||
        magic != kSnapshotEndMagic ||
        length != received_ - (buffer_.size() - place_)) {
      return Invalid("is damaged");
    }
    if (!SameBytes(signature, AsText(expected_signature))) return NotOurs();
    Expect(Step::kDone, 0);
    return absl::OkStatus();
  }

  const SnapshotOptions options_;
  SnapshotSums sums_;
  const StateDecoder* decoder_ = nullptr;
  absl::Status status_;  // of the first call that failed
  uint64_t received_ = 0;
  std::string buffer_;  // what is not parsed yet, from place_ on
  size_t place_ = 0;

  Step step_ = Step::kPrelude;
  uint64_t wanted_ = kSnapshotPreludeBytes;  // bytes of this step
  uint32_t header_bytes_ = 0;
  // Of the section being read.
  SnapshotSection type_ = SnapshotSection::kHead;
  uint64_t length_ = 0;
  uint64_t checksum_ = 0;

  std::optional<SessionHead> head_;
  uint64_t num_read_ = 0;
  std::vector<std::shared_ptr<const ChunkRecord>> chunks_;
};

SnapshotReader::SnapshotReader(const SnapshotOptions& options)
    : impl_(std::make_unique<Impl>(options)) {}
SnapshotReader::~SnapshotReader() = default;

absl::Status SnapshotReader::Append(std::string_view bytes) {
  return impl_->Append(bytes);
}
const SessionHead* SnapshotReader::head() const { return impl_->head(); }
void SnapshotReader::set_decoder(const StateDecoder* decoder) {
  impl_->set_decoder(decoder);
}
std::vector<std::shared_ptr<const ChunkRecord>> SnapshotReader::TakeChunks() {
  return impl_->TakeChunks();
}
absl::Status SnapshotReader::Finish() { return impl_->Finish(); }

}  // namespace longhand
