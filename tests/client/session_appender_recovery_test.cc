// SessionAppender after losses that FakeSessions scripts: the content is in the
// session exactly once, or there is an error.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "client/session_appender.h"
#include "gmock/gmock.h"
#include "tests/client/session_appender_case.h"

namespace longhand::client {
namespace {

using ::testing::ElementsAre;

TEST_F(SessionAppenderTest, ALostReplyIsAskedForAgainWithTheSameId) {
  sessions_.on_append = [](const auto&, int count) {
    std::optional<AppendFault> fault;
    if (count == 2) fault = {.status = Lost()};
    return fault;
  };
  Start();
  const std::string text = MakeText(3000);
  PipeSource source(text);
  const auto result = Append(&source);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(sessions_.Content(id_), text);
  EXPECT_THAT(IdNumbers(), ElementsAre(0, 1, 1, 2));
  // A repeated append does not send its chunks again.
  EXPECT_THAT(chunks_, ElementsAre(0, 2));
  EXPECT_EQ(result->lost_chunks, 1);
  EXPECT_EQ(retries_.size(), 1);
}

TEST_F(SessionAppenderTest, ChunksThatCameBeforeTheLossAreKept) {
  sessions_.on_append = [](const auto&, int count) {
    std::optional<AppendFault> fault;
    if (count == 1) fault = {.status = Lost(), .send_chunks = true};
    // Done again from the start, so that the chunks come twice.
    if (count == 3) fault = {.apply = false, .status = Lost()};
    return fault;
  };
  Start();
  const std::string text = MakeText(2000);
  StringSource source(text);
  const auto result = Append(&source);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(chunks_, ElementsAre(0, 1));
  EXPECT_EQ(result->lost_chunks, 0);
  EXPECT_THAT(IdNumbers(), ElementsAre(0, 0, 1, 1));
}

TEST_F(SessionAppenderTest, LostContentIsSentAgainFromTheBuffer) {
  sessions_.on_append = [this](const auto&, int count) {
    if (count == 4) sessions_.Lose(id_, 1000);
    return std::optional<AppendFault>();
  };
  Start();
  const std::string text = MakeText(5000);
  PipeSource source(text);
  const auto result = Append(&source);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(sessions_.Content(id_), text);
  // What is sent again has new ids: it is not the same append.
  EXPECT_THAT(IdNumbers(), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_THAT(chunks_, ElementsAre(0, 1, 2, 3, 4));
}

TEST_F(SessionAppenderTest, ASourceThatCanBeRewoundIsReadAgain) {
  sessions_.on_append = [this](const auto&, int count) {
    if (count == 5) sessions_.Lose(id_, 1000);
    return std::optional<AppendFault>();
  };
  Start();
  const std::string text = MakeText(6000);
  AppendOptions options;
  options.buffer_bytes = 1500;
  StringSource source(text);
  const auto result = Append(&source, options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(sessions_.Content(id_), text);
  EXPECT_EQ(result->progress.source_bytes, 6000);
}

TEST_F(SessionAppenderTest, LostContentThatIsGoneIsAnErrorNotAHole) {
  sessions_.on_append = [this](const auto&, int count) {
    if (count == 5) sessions_.Lose(id_, 1000);
    return std::optional<AppendFault>();
  };
  Start();
  const std::string text = MakeText(6000);
  AppendOptions options;
  options.buffer_bytes = 1500;
  PipeSource source(text);
  const auto result = Append(&source, options);
  EXPECT_EQ(Reason(result.status()), "CONTENT_GONE") << result.status();
  EXPECT_TRUE(absl::IsDataLoss(result.status()));
  EXPECT_EQ(sessions_.Content(id_), text.substr(0, 1000));
}

TEST_F(SessionAppenderTest, AFullBufferAsksForTheBestDurability) {
  sessions_.durable = [](uint64_t) { return 0; };
  Start();
  const std::string text = MakeText(6000);
  AppendOptions options;
  options.buffer_bytes = 2500;
  PipeSource source(text);
  ASSERT_TRUE(Append(&source, options).ok());
  std::vector<int> asked;
  for (const auto& request : sessions_.appends) {
    asked.push_back(request.min_durability());
  }
  // The third one fills the buffer; what the fourth makes safe is forgotten.
  EXPECT_THAT(asked, ElementsAre(0, 0, 0, v1::DURABILITY_SHARED, 0, 0));
}

TEST_F(SessionAppenderTest, AnotherWriterIsNoticed) {
  sessions_.on_append = [this](const auto&, int count) {
    if (count == 2) sessions_.Write(id_, "something else");
    return std::optional<AppendFault>();
  };
  Start();
  const std::string text = MakeText(4000);
  StringSource source(text);
  const auto result = Append(&source);
  EXPECT_EQ(Reason(result.status()), "SESSION_CHANGED") << result.status();
  EXPECT_EQ(sessions_.Content(id_), text.substr(0, 1000) + "something else");
}

TEST_F(SessionAppenderTest, OtherContentOfTheSameLengthIsNoticed) {
  // The session went back, and somebody else filled it up again.
  sessions_.on_append = [this](const auto&, int count) {
    if (count == 3) {
      sessions_.Lose(id_, 0);
      sessions_.Write(id_, std::string(1000, 'x'));
    }
    return std::optional<AppendFault>();
  };
  Start();
  const std::string text = MakeText(4000);
  StringSource source(text);
  const auto result = Append(&source);
  EXPECT_EQ(Reason(result.status()), "SESSION_CHANGED") << result.status();

  sessions_.on_append = [this](const auto&, int count) {
    if (count == 5) {
      sessions_.Lose(id_, 1000);
      sessions_.Write(id_, std::string(1000, 'y'));
    }
    return std::optional<AppendFault>();
  };
  StringSource rest(text);
  EXPECT_EQ(Reason(Append(&rest).status()), "STATE_DIVERGED");
}

TEST_F(SessionAppenderTest, AnAppendWhoseIdWasForgottenIsNotSentTwice) {
  sessions_.on_append = [this](const auto&, int count) {
    std::optional<AppendFault> fault;
    if (count == 2) fault = {.status = Lost()};
    if (count == 3) sessions_.ForgetIds(id_);
    return fault;
  };
  Start();
  const std::string text = MakeText(4000);
  StringSource source(text);
  const auto result = Append(&source);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(sessions_.Content(id_), text);
}

TEST_F(SessionAppenderTest, ClosingIsDoneOnceToo) {
  sessions_.on_append = [](const v1::AppendSessionRequest& request, int count) {
    std::optional<AppendFault> fault;
    if (request.close() && count == 3) fault = {.status = Lost()};
    return fault;
  };
  Start();
  AppendOptions options;
  options.close = true;
  options.source_offset = 0;
  const std::string text = MakeText(1500);
  StringSource source(text);
  const auto result = Append(&source, options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->session.state(), v1::SESSION_STATE_CLOSED);
  EXPECT_EQ(sessions_.appends.size(), 4);
  // The chunk that closing made was lost with the answer.
  EXPECT_EQ(result->lost_chunks, 1);
  // Once more: nothing is left to do.
  StringSource again(text);
  ASSERT_TRUE(Append(&again, options).ok());
  EXPECT_EQ(sessions_.appends.size(), 4);
}

TEST_F(SessionAppenderTest, AForgottenIdIsTakenForDoneOnlyIfTheContentIsThis) {
  sessions_.on_append = [this](const auto&, int count) {
    std::optional<AppendFault> fault;
    if (count == 2) {
      sessions_.Write(id_, std::string(1000, 'z'));
      fault = {.apply = false, .status = Lost()};
    }
    return fault;
  };
  Start();
  const std::string text = MakeText(4000);
  StringSource source(text);
  EXPECT_EQ(Reason(Append(&source).status()), "SESSION_CHANGED");
}

TEST_F(SessionAppenderTest, OtherContentThanWasSentIsNoticed) {
  sessions_.corrupt_appends = true;
  Start();
  StringSource source("text");
  const auto result = Append(&source);
  EXPECT_EQ(Reason(result.status()), "DIGEST_MISMATCH") << result.status();
  EXPECT_TRUE(absl::IsDataLoss(result.status()));
}

TEST_F(SessionAppenderTest, AnyMixOfFailuresLeavesTheContentOnce) {
  Start();
  for (unsigned seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    id_ = sessions_.Add();
    chunks_.clear();
    int failures = 0;  // in a row: the client gives up after four
    sessions_.on_append = [&](const auto&, int) {
      std::optional<AppendFault> fault;
      const unsigned kind = random() % 8;
      if (kind > 4 || failures == 3) {
        failures = 0;
        return fault;
      }
      ++failures;
      if (kind < 3) {
        fault = {.apply = random() % 2 == 0,
                 .status = kind == 0 ? Aborted("STALE_GENERATION") : Lost(),
                 .send_chunks = random() % 2 == 0};
      } else if (kind == 3) {
        fault = {.apply = random() % 2 == 0, .drain = true};
      } else {
        const auto pieces = sessions_.Content(id_).size() / 1000;
        sessions_.Lose(id_, 1000 * (random() % (pieces + 1)));
      }
      return fault;
    };
    const std::string text = MakeText(1000 * (random() % 12) + 1000);
    AppendOptions options;
    options.source_offset = 0;
    options.buffer_bytes = 2500;
    options.close = random() % 2 == 0;
    StringSource source(text);
    const auto result = Append(&source, options);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(sessions_.Content(id_), text);
    EXPECT_EQ(std::set<uint32_t>(chunks_.begin(), chunks_.end()).size(),
              chunks_.size());
    EXPECT_TRUE(std::is_sorted(chunks_.begin(), chunks_.end()));
    EXPECT_EQ(chunks_.size() + result->lost_chunks, text.size() / 1000);
  }
}

}  // namespace
}  // namespace longhand::client
