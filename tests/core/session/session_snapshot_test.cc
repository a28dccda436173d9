// Sessions carried from one manager to another, and what comes of snapshots
// that somebody changed.

#include <algorithm>
#include <string>

#include "tests/core/session/manager_harness.h"

namespace longhand::testing {
namespace {

class SessionSnapshotTest : public ManagerTest {
 protected:
  std::string Export(const SessionId& id) {
    std::string bytes;
    const absl::Status status =
        manager().Export(call_, id, [&](std::string_view piece) {
          bytes += piece;
          return absl::OkStatus();
        });
    EXPECT_TRUE(status.ok()) << status;
    return bytes;
  }

  static absl::StatusOr<SessionInfo> ImportInto(SessionManager& manager,
                                                const SessionCall& call,
                                                const std::string& bytes,
                                                size_t piece = 100) {
    size_t at = 0;
    return manager.Import(
        call,
        [&]() -> absl::StatusOr<std::string> {
          std::string next = bytes.substr(at, piece);
          at += next.size();
          return next;
        },
        std::nullopt);
  }
  absl::StatusOr<SessionInfo> Import(const std::string& bytes,
                                     size_t piece = 100) {
    return ImportInto(manager(), call_, bytes, piece);
  }

  SessionId MakeSession() {
    const SessionId id = NewSession();
    MustAppend(id, 0, Ids(10));
    return id;
  }
};

TEST_F(SessionSnapshotTest, ASessionComesBackAsItWas) {
  const SessionId id = MakeSession();
  const SessionInfo before = *Get(id);
  const std::string bytes = Export(id);
  for (const size_t piece : {size_t{1}, size_t{7}, bytes.size()}) {
    const auto info = Import(bytes, piece);
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_NE(info->key.id, id);
    EXPECT_EQ(info->digest, before.digest);
    EXPECT_EQ(info->committed_offset, 10u);
    EXPECT_EQ(info->num_chunks, before.num_chunks);
    EXPECT_EQ(info->generation, 1u);
    const auto next = MustAppend(info->key.id, 10, Ids(3));
    EXPECT_EQ(next.chunks.size(), 1u);
  }
}

TEST_F(SessionSnapshotTest, EveryChangedByteIsNoticed) {
  const std::string bytes = Export(MakeSession());
  const uint64_t before = used();
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string changed = bytes;
    changed[i] = char(changed[i] ^ 1);
    EXPECT_FALSE(Import(changed, 4096).ok()) << i;
  }
  EXPECT_EQ(used(), before);
}

TEST_F(SessionSnapshotTest, EveryCutIsNoticed) {
  const std::string bytes = Export(MakeSession());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(Import(bytes.substr(0, size), 4096).ok()) << size;
  }
  EXPECT_FALSE(Import(bytes + "x").ok());
}

TEST_F(SessionSnapshotTest, SignedOnesAreForTheirTenantAndKey) {
  options_.snapshot_key = "a key of the operator";
  const std::string bytes = Export(MakeSession());
  EXPECT_TRUE(Import(bytes).ok());
  EXPECT_EQ(ReasonOf(ImportInto(manager(), {.tenant = "b"}, bytes).status()),
            "SNAPSHOT_TENANT");
  manager_.reset();
  options_.snapshot_key = "another key";
  EXPECT_EQ(ReasonOf(Import(bytes).status()), "SNAPSHOT_TENANT");
}

TEST_F(SessionSnapshotTest, AnotherModelsAreRefused) {
  const std::string bytes = Export(MakeSession());
  HashSessionModel newer("2");
  const auto other =
      SessionManager::Create(&newer, store_.get(), &environment_, options_);
  ASSERT_TRUE(other.ok());
  const auto info = ImportInto(**other, call_, bytes);
  EXPECT_EQ(ReasonOf(info.status()), "MODEL_FINGERPRINT_MISMATCH");
  EXPECT_EQ(GetErrorDetail(info.status())->metadata.at("field"), "version");
}

TEST_F(SessionSnapshotTest, UnsignedChunksStayOutOfTheCache) {
  options_.max_cache_bytes = 100'000;
  const std::string bytes = Export(MakeSession());
  OpenStore();
  const auto info = Import(bytes);
  ASSERT_TRUE(info.ok()) << info.status();
  // Nor do chunks computed after them reach others.
  MustAppend(info->key.id, 10, Ids(10, 10));
  const SessionId other = NewSession();
  EXPECT_EQ(MustAppend(other, 0, Ids(20)).reused_tokens, 0u);
}

TEST_F(SessionSnapshotTest, SignedChunksAreShared) {
  options_.max_cache_bytes = 100'000;
  options_.snapshot_key = "a key of the operator";
  const std::string bytes = Export(MakeSession());
  OpenStore();
  ASSERT_TRUE(Import(bytes).ok());
  const SessionId other = NewSession();
  EXPECT_EQ(MustAppend(other, 0, Ids(10)).reused_tokens, 8u);
}

TEST_F(SessionSnapshotTest, OneThatDoesNotFitIsRefused) {
  const SessionId id = NewSession();
  MustAppend(id, 0, Ids(400));
  const std::string bytes = Export(id);
  SetMemory(5000);
  EXPECT_EQ(ReasonOf(Import(bytes).status()), "SESSION_TOO_LARGE");
  EXPECT_EQ(used(), 0u);
}

TEST_F(SessionSnapshotTest, ErrorsOfTheOutputEndTheExport) {
  const SessionId id = MakeSession();
  EXPECT_EQ(manager().Export(
                call_, id,
                [](std::string_view) { return absl::CancelledError("gone"); }),
            absl::CancelledError("gone"));
}

}  // namespace
}  // namespace longhand::testing
