// What the RocksDB store does where its files or its disk are not as they
// should be.

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/store/session_store.h"
#include "gtest/gtest.h"
#include "tests/core/store/store_testing.h"

namespace longhand {
namespace {

namespace fs = std::filesystem;

using testing::DigestOf;
using testing::ExpectSameChunk;
using testing::MakeChunk;
using testing::ReasonOf;
using testing::TestDecoder;

class RocksdbStoreTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<SessionStore>> TryOpen(
      bool quarantine = false) {
    SessionStoreOptions options;
    options.path = path_;
    options.quarantine_corrupt = quarantine;
    return (**SessionStoreRegistry().Find("rocksdb"))(options);
  }
  void Open() {
    store_.reset();
    auto store = TryOpen();
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  static SessionKey Key(uint8_t number) {
    SessionKey key{"tenant", {}};
    key.id[0] = number;
    return key;
  }

  // Leased, generation 1, empty.
  void Create(uint8_t number) {
    SessionHead head;
    head.expire_time = absl::FromUnixSeconds(1900000000);
    ASSERT_TRUE(store_->Create(Key(number), head, request_).ok());
  }
  // The `index`th chunk, of 50 KB and 10 bytes of the document.
  absl::Status Append(uint8_t number, int index) {
    SessionCommit commit;
    commit.generation = commit.new_generation = 1;
    commit.expected_offset = uint64_t(index) * 10;
    commit.first_chunk = uint64_t(index);
    commit.chunks = {MakeChunk(decoder_, Seed(number, index), index)};
    commit.head.num_chunks = uint64_t(index) + 1;
    commit.head.committed_offset = (uint64_t(index) + 1) * 10;
    commit.head.digest = DigestOf(uint8_t(index + 1));
    commit.head.expire_time = absl::FromUnixSeconds(1900000000);
    return store_->Commit(Key(number), commit);
  }
  static uint32_t Seed(uint8_t number, int index) {
    return number * 1000u + uint32_t(index);
  }
  // At least `count` chunks, all of them right.
  void ExpectChunks(uint8_t number, uint64_t count) {
    const auto stored = store_->ReadHead(Key(number));
    ASSERT_TRUE(stored.ok()) << stored.status();
    EXPECT_GE(stored->head.num_chunks, count);
    EXPECT_EQ(stored->head.committed_offset, stored->head.num_chunks * 10);
    const auto chunks =
        store_->ReadChunks(Key(number), 0, stored->head.num_chunks, decoder_);
    ASSERT_TRUE(chunks.ok()) << chunks.status();
    for (size_t i = 0; i < chunks->size(); ++i) {
      ExpectSameChunk(*(*chunks)[i],
                      *MakeChunk(decoder_, Seed(number, int(i)), int(i)));
    }
  }

  // The files whose names end so.
  std::vector<fs::path> Files(const std::string& ending) const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(path_)) {
      if (absl::EndsWith(entry.path().string(), ending)) {
        files.push_back(entry.path());
      }
    }
    return files;
  }

  const testing::TempDir dir_;
  const std::string path_ = dir_.File("store");
  const TestDecoder decoder_{"f32", 1000};
  const LeaseRequest request_{.owner = "a", .duration = absl::Seconds(1)};
  std::unique_ptr<SessionStore> store_;
};

TEST_F(RocksdbStoreTest, OneProcessAtATime) {
  Open();
  const auto second = TryOpen(/*quarantine=*/true);
  EXPECT_EQ(ReasonOf(second), "STORE_OPEN");
  EXPECT_TRUE(absl::StrContains(second.status().message(), "other process"))
      << second.status();
}

TEST_F(RocksdbStoreTest, RefusesWhatIsNoDirectory) {
  testing::WriteAll(path_, "a file");
  EXPECT_EQ(ReasonOf(TryOpen(/*quarantine=*/true)), "STORE_OPEN");
  EXPECT_EQ(testing::ReadAll(path_), "a file");
  EXPECT_EQ(ReasonOf((**SessionStoreRegistry().Find("rocksdb"))({})),
            "STORE_OPEN");
}

TEST_F(RocksdbStoreTest, NobodyElseReadsTheDirectory) {
  Open();
  EXPECT_EQ(fs::status(path_).permissions(), fs::perms::owner_all);
}

TEST_F(RocksdbStoreTest, DamagedDatabaseIsRefusedOrMovedAside) {
  Open();
  Create(1);
  store_.reset();
  for (const fs::path& entry : fs::directory_iterator(path_)) {
    if (!absl::StrContains(entry.string(), "MANIFEST")) continue;
    std::string bytes = testing::ReadAll(entry);
    bytes[bytes.size() / 2] = char(bytes[bytes.size() / 2] ^ 1);
    testing::WriteAll(entry, bytes);
  }
  const auto refused = TryOpen();
  EXPECT_EQ(ReasonOf(refused), "STORE_OPEN");
  EXPECT_TRUE(absl::StrContains(refused.status().message(), "damaged"))
      << refused.status();

  auto moved = TryOpen(/*quarantine=*/true);
  ASSERT_TRUE(moved.ok()) << moved.status();
  store_ = *std::move(moved);
  EXPECT_EQ(store_->stats().sessions, 0u);
  Create(1);
  int kept = 0;
  for (const fs::path& entry : fs::directory_iterator(dir_.path())) {
    kept += absl::StrContains(entry.string(), ".corrupt-") &&
            fs::exists(entry / "CURRENT");
  }
  EXPECT_EQ(kept, 1);
}

TEST_F(RocksdbStoreTest, DamagedChunkConcernsItsSessionAlone) {
  Open();
  for (const uint8_t number : {1, 2}) {
    Create(number);
    ASSERT_TRUE(Append(number, 0).ok());
  }
  // From the log into tables, and out of memory.
  Open();
  store_.reset();
  const std::string text = MakeChunk(decoder_, Seed(1, 0))->text;
  int damaged = 0;
  for (const fs::path& file : Files(".blob")) {
    std::string bytes = testing::ReadAll(file);
    const size_t place = bytes.find(text);
    if (place == std::string::npos) continue;
    bytes[place] = char(bytes[place] ^ 1);
    testing::WriteAll(file, bytes);
    ++damaged;
  }
  ASSERT_EQ(damaged, 1);
  Open();
  EXPECT_EQ(ReasonOf(store_->ReadChunks(Key(1), 0, 1, decoder_)),
            "STORE_CORRUPT");
  ExpectChunks(2, 1);
  // It can be removed.
  const auto lease = store_->Acquire(Key(1), request_);
  ASSERT_TRUE(lease.ok()) << lease.status();
  EXPECT_TRUE(store_->Delete(Key(1), lease->generation).ok());
}

// Each child is killed while it writes. What it said was stored is there.
TEST_F(RocksdbStoreTest, AcknowledgedCommitsSurviveKill) {
  Open();
  Create(1);
  store_.reset();
  int acknowledged = 0;
  for (int round = 0; round < 4; ++round) {
    int channel[2];
    ASSERT_EQ(pipe(channel), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      Open();
      // Leases of a process that is gone do not matter; generation 1 stays,
      // since nobody takes one.
      int index = int(store_->ReadHead(Key(1))->head.num_chunks);
      while (Append(1, index).ok()) {
        ++index;
        if (write(channel[1], &index, sizeof(index)) != sizeof(index)) break;
      }
      _exit(1);
    }
    close(channel[1]);
    for (int i = 0; i < 3 + 5 * round; ++i) {
      ASSERT_EQ(read(channel[0], &acknowledged, sizeof(acknowledged)),
                ssize_t(sizeof(acknowledged)));
    }
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status));
    int more = 0;
    while (read(channel[0], &more, sizeof(more)) == ssize_t(sizeof(more))) {
      acknowledged = more;
    }
    close(channel[0]);
    Open();
    ExpectChunks(1, uint64_t(acknowledged));
    store_.reset();
  }
  EXPECT_GE(acknowledged, 20);
}

// A limit on the size of files stands for a full disk: writes fail, and then
// work again.
TEST_F(RocksdbStoreTest, ComesBackAfterTheDiskWasFull) {
  signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  Open();
  Create(1);
  int index = 0;
  for (int round = 0; round < 2; ++round) {
    rlimit full = before;
    full.rlim_cur = 1 << 20;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
    absl::Status status = absl::OkStatus();
    while (status.ok() && index < 1000) {
      status = Append(1, index);
      index += status.ok();
    }
    EXPECT_EQ(ReasonOf(status), "STORE_UNAVAILABLE");
    // It stays so, and reads go on.
    EXPECT_EQ(ReasonOf(Append(1, index)), "STORE_UNAVAILABLE");
    ExpectChunks(1, uint64_t(index));

    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT_EQ(ReasonOf(Append(1, index)), "STORE_UNAVAILABLE");
    // Others may be reading while it is opened again.
    std::thread reader([&] {
      for (int i = 0; i < 20; ++i) {
        const auto stored = store_->ReadHead(Key(1));
        EXPECT_TRUE(stored.ok()) << stored.status();
      }
    });
    EXPECT_TRUE(store_->CheckHealth().ok());
    reader.join();
    ExpectChunks(1, uint64_t(index));
    // The commit that failed may be there: then this one is told so.
    status = Append(1, index);
    EXPECT_TRUE(status.ok()) << status;
    ++index;
    ExpectChunks(1, uint64_t(index));
  }
  EXPECT_TRUE(store_->Renew(Key(1), 1, request_).ok());
}

}  // namespace
}  // namespace longhand
