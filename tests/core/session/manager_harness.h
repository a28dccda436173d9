// A SessionManager over a memory store, hashes for a model and a clock that
// stands still, for tests of one thread and of several.
#ifndef LONGHAND_TESTS_CORE_SESSION_MANAGER_HARNESS_H_
#define LONGHAND_TESTS_CORE_SESSION_MANAGER_HARNESS_H_

#include <atomic>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/session/session_manager.h"
#include "gtest/gtest.h"
#include "tests/core/session/simulation/hash_model.h"

namespace longhand::testing {

class ManualEnvironment final : public SessionEnvironment {
 public:
  absl::Time Now() override {
    return absl::FromUnixSeconds(5'000'000'000) +
           absl::Milliseconds(passed_ms_.load());
  }
  void RandomBytes(uint8_t* bytes, size_t size) override {
    Real()->RandomBytes(bytes, size);
  }
  void Pass(absl::Duration time) {
    passed_ms_ += absl::ToInt64Milliseconds(time);
  }

 private:
  std::atomic<int64_t> passed_ms_{0};
};

inline std::string ReasonOf(const absl::Status& status) {
  if (status.ok()) return "OK";
  const auto detail = GetErrorDetail(status);
  return detail ? detail->reason : "no reason";
}

// first, first + 1, ...
inline std::vector<int32_t> Ids(int count, int32_t first = 0) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

class ManagerTest : public ::testing::Test {
 protected:
  ManagerTest() {
    options_.max_append_bytes = 4000;
    options_.max_document_bytes = 40'000;
    SetMemory(uint64_t{1} << 20);
  }

  // The budget, and the limit of a new store as the server sets it.
  void SetMemory(uint64_t bytes) {
    options_.max_memory_bytes = bytes;
    store_options_.max_bytes = bytes;
    OpenStore();
  }

  void OpenStore() {
    auto make = SessionStoreRegistry().Find("memory");
    auto store = (**make)(store_options_);
    ASSERT_TRUE(store.ok());
    manager_.reset();
    store_ = *std::move(store);
  }

  // The manager, made at its first use.
  SessionManager& manager() {
    if (manager_ == nullptr) {
      auto manager = SessionManager::Create(&model_, store_.get(),
                                            &environment_, options_);
      EXPECT_TRUE(manager.ok()) << manager.status();
      manager_ = *std::move(manager);
    }
    return *manager_;
  }

  SessionId NewSession(const std::string& tenant = "a") {
    const auto info =
        manager().CreateSession({.tenant = tenant}, {}, std::nullopt);
    EXPECT_TRUE(info.ok()) << info.status();
    return info->key.id;
  }

  AppendArgs MakeAppend(uint64_t offset, Content content) {
    AppendArgs args;
    args.expected_offset = offset;
    args.content = std::move(content);
    args.append_id = std::string(16, '\0');
    const int number = ++appends_;
    for (int i = 0; i < 4; ++i) args.append_id[i] = char(number >> (8 * i));
    return args;
  }

  absl::StatusOr<AppendResult> Append(const SessionId& id,
                                      const AppendArgs& args) {
    return manager().Append(call_, id, args);
  }
  AppendResult MustAppend(const SessionId& id, uint64_t offset,
                          Content content) {
    auto result = Append(id, MakeAppend(offset, std::move(content)));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *std::move(result) : AppendResult();
  }
  absl::StatusOr<SessionInfo> Get(const SessionId& id) {
    return manager().GetSession(call_, id);
  }
  uint64_t used() { return manager().stats().memory_bytes; }

  const SessionCall call_{.tenant = "a"};
  ManualEnvironment environment_;
  HashSessionModel model_;
  SessionManagerOptions options_;
  SessionStoreOptions store_options_;
  std::unique_ptr<SessionStore> store_;
  std::unique_ptr<SessionManager> manager_;
  std::atomic<int> appends_{0};
};

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_SESSION_MANAGER_HARNESS_H_
