#include "server/session_convert.h"

#include <cmath>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

using ::testing::ElementsAre;

constexpr uint32_t kMax32 = std::numeric_limits<uint32_t>::max();
constexpr uint64_t kMax64 = std::numeric_limits<uint64_t>::max();
constexpr int64_t kMaxTtlSeconds = 315'576'000'000;

// "" for OK.
template <typename Value>
std::string ReasonOf(const absl::StatusOr<Value>& value) {
  if (value.ok()) return "";
  EXPECT_EQ(value.status().code(), absl::StatusCode::kInvalidArgument);
  return GetErrorDetail(value.status())->reason;
}

google::protobuf::Duration DurationOf(int64_t seconds, int32_t nanos) {
  google::protobuf::Duration duration;
  duration.set_seconds(seconds);
  duration.set_nanos(nanos);
  return duration;
}

v1::AppendSessionRequest GoodAppend() {
  v1::AppendSessionRequest request;
  request.set_expected_offset(0);
  request.set_append_id(std::string(16, 'x'));
  request.set_text("text");
  return request;
}

v1::QuerySessionRequest GoodQuery() {
  v1::QuerySessionRequest request;
  request.add_questions()->set_text("why");
  return request;
}

TEST(SessionConvertTest, IdsGoThereAndBack) {
  SessionId id{};
  for (size_t i = 0; i < id.size(); ++i) id[i] = static_cast<uint8_t>(17 * i);
  EXPECT_EQ(SessionIdFromProto(FormatSessionId(id)), id);
}

TEST(SessionConvertTest, WhatIsNoIdNamesNobodyButAlwaysTheSame) {
  const std::vector<std::string> texts = {
      "",
      "A",
      std::string(21, 'A'),
      std::string(23, 'A'),
      std::string(21, 'A') + "B",  // bits beyond the id
      std::string(21, 'A') + "=",
      std::string(21, 'A') + "+",
      std::string(22, '\0'),
      std::string(1 << 20, 'A')};
  std::set<SessionId> ids;
  for (const std::string& text : texts) {
    EXPECT_EQ(ParseSessionId(text), std::nullopt);
    EXPECT_EQ(SessionIdFromProto(text), SessionIdFromProto(text));
    ids.insert(SessionIdFromProto(text));
  }
  EXPECT_EQ(ids.size(), texts.size());
  EXPECT_EQ(ids.count(SessionId{}), 0U);
}

TEST(SessionConvertTest, TtlsAreAboveZero) {
  struct Case {
    google::protobuf::Duration ttl;
    std::string reason;
  };
  const std::string bad = "TTL_OUT_OF_RANGE";
  const std::vector<Case> cases = {
      {DurationOf(1, 0), ""},
      {DurationOf(0, 1), ""},
      {DurationOf(0, 999'999'999), ""},
      {DurationOf(kMaxTtlSeconds, 999'999'999), ""},
      {DurationOf(0, 0), bad},
      {DurationOf(-1, 0), bad},
      {DurationOf(0, -1), bad},
      {DurationOf(1, -1), bad},
      {DurationOf(1, 1'000'000'000), bad},
      {DurationOf(1, std::numeric_limits<int32_t>::max()), bad},
      {DurationOf(1, std::numeric_limits<int32_t>::min()), bad},
      {DurationOf(kMaxTtlSeconds + 1, 0), bad},
      {DurationOf(std::numeric_limits<int64_t>::max(), 0), bad},
      {DurationOf(std::numeric_limits<int64_t>::min(), 0), bad},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(ReasonOf(TtlFromProto(true, c.ttl)), c.reason)
        << c.ttl.ShortDebugString();
  }
  EXPECT_EQ(*TtlFromProto(true, DurationOf(1, 5)),
            absl::Seconds(1) + absl::Nanoseconds(5));
  EXPECT_EQ(*TtlFromProto(false, DurationOf(0, 0)), std::nullopt);
}

TEST(SessionConvertTest, PageSizesHaveALimit) {
  EXPECT_EQ(*PageSizeFromProto(0), 100);
  EXPECT_EQ(*PageSizeFromProto(1), 1);
  EXPECT_EQ(*PageSizeFromProto(1000), 1000);
  EXPECT_EQ(ReasonOf(PageSizeFromProto(1001)), "PAGE_SIZE_OUT_OF_RANGE");
  EXPECT_EQ(ReasonOf(PageSizeFromProto(kMax32)), "PAGE_SIZE_OUT_OF_RANGE");
}

TEST(SessionConvertTest, AppendsAreChecked) {
  using Change = std::function<void(v1::AppendSessionRequest&)>;
  struct Case {
    std::string what;
    Change change;
    std::string reason;
  };
  using R = v1::AppendSessionRequest;
  const std::vector<Case> cases = {
      {"good", [](R&) {}, ""},
      {"largest offset", [](R& r) { r.set_expected_offset(kMax64); }, ""},
      {"largest id", [](R& r) { r.mutable_token_ids()->add_ids(kMax32); }, ""},
      {"shared", [](R& r) { r.set_min_durability(v1::DURABILITY_SHARED); }, ""},
      {"unknown durability",
       [](R& r) { r.set_min_durability(static_cast<v1::Durability>(4)); },
       "DURABILITY_UNKNOWN"},
      {"negative durability",
       [](R& r) { r.set_min_durability(static_cast<v1::Durability>(-1)); },
       "DURABILITY_UNKNOWN"},
      {"short digest", [](R& r) { r.set_if_state_digest("x"); },
       "DIGEST_INVALID"},
      {"long digest", [](R& r) { r.set_if_state_digest(std::string(33, 'x')); },
       "DIGEST_INVALID"},
      {"digest", [](R& r) { r.set_if_state_digest(std::string(32, 'x')); }, ""},
      {"largest checksum", [](R& r) { r.set_payload_crc32c(kMax32); }, ""},
  };
  for (const Case& c : cases) {
    R request = GoodAppend();
    c.change(request);
    EXPECT_EQ(ReasonOf(AppendArgsFromProto(request)), c.reason) << c.what;
  }
}

TEST(SessionConvertTest, AppendsAreCarriedOver) {
  v1::AppendSessionRequest request = GoodAppend();
  request.set_expected_offset(7);
  request.set_payload_crc32c(0);
  request.set_min_durability(v1::DURABILITY_LOCAL);
  request.set_if_state_digest(std::string(32, '\x05'));
  request.set_provisional(true);
  request.set_close(true);
  const auto args = AppendArgsFromProto(request);
  ASSERT_TRUE(args.ok());
  EXPECT_EQ(args->expected_offset, 7U);
  EXPECT_EQ(args->append_id, std::string(16, 'x'));
  EXPECT_EQ(std::get<std::string>(args->content), "text");
  EXPECT_EQ(args->payload_crc32c, 0U);
  EXPECT_EQ(args->min_durability, Durability::kLocal);
  EXPECT_EQ(DigestBytes(*args->if_state_digest), std::string(32, '\x05'));
  EXPECT_TRUE(args->provisional);
  EXPECT_TRUE(args->close);

  v1::AppendSessionRequest ids = GoodAppend();
  ids.mutable_token_ids()->add_ids(4);
  ids.mutable_token_ids()->add_ids(2);
  const auto other = AppendArgsFromProto(ids);
  ASSERT_TRUE(other.ok());
  EXPECT_THAT(std::get<std::vector<int32_t>>(other->content),
              ElementsAre(4, 2));
  EXPECT_EQ(other->payload_crc32c, std::nullopt);
  EXPECT_EQ(other->if_state_digest, std::nullopt);
  EXPECT_EQ(other->min_durability, Durability::kMemory);
}

TEST(SessionConvertTest, WhatAnAppendLacksIsLeftToTheManager) {
  v1::AppendSessionRequest request;
  const auto args = AppendArgsFromProto(request);
  ASSERT_TRUE(args.ok());
  EXPECT_EQ(args->expected_offset, std::nullopt);
  EXPECT_EQ(args->append_id, "");
  EXPECT_EQ(std::get<std::string>(args->content), "");
  v1::AppendSessionRequest ids = GoodAppend();
  ids.mutable_token_ids();
  EXPECT_TRUE(std::get<std::vector<int32_t>>(AppendArgsFromProto(ids)->content)
                  .empty());
}

TEST(SessionConvertTest, RewindsNeedAnOffset) {
  v1::RewindSessionRequest request;
  EXPECT_EQ(ReasonOf(EditArgsFromProto(request)), "OFFSET_MISSING");
  for (uint64_t offset : {uint64_t{0}, kMax64}) {
    request.set_offset(offset);
    const auto args = EditArgsFromProto(request);
    ASSERT_TRUE(args.ok());
    EXPECT_EQ(args->begin, offset);
    EXPECT_EQ(args->end, kMax64);
    EXPECT_EQ(std::get<std::string>(args->content), "");
  }
  request.set_if_state_digest("x");
  EXPECT_EQ(ReasonOf(EditArgsFromProto(request)), "DIGEST_INVALID");
  request.clear_if_state_digest();
  request.set_min_durability(static_cast<v1::Durability>(99));
  EXPECT_EQ(ReasonOf(EditArgsFromProto(request)), "DURABILITY_UNKNOWN");
}

TEST(SessionConvertTest, EditsNeedARange) {
  v1::EditSessionRequest request;
  EXPECT_EQ(ReasonOf(EditArgsFromProto(request)), "OFFSET_MISSING");
  request.set_begin(kMax64);
  EXPECT_EQ(EditArgsFromProto(request)->end, kMax64);
  request.set_end(kMax64 - 1);
  EXPECT_EQ(ReasonOf(EditArgsFromProto(request)), "RANGE_INVALID");
  request.set_begin(2);
  request.set_end(2);
  request.mutable_token_ids()->add_ids(9);
  const auto args = EditArgsFromProto(request);
  ASSERT_TRUE(args.ok());
  EXPECT_EQ(args->begin, 2U);
  EXPECT_EQ(args->end, 2U);
  EXPECT_THAT(std::get<std::vector<int32_t>>(args->content), ElementsAre(9));
  request.set_end(0);
  EXPECT_EQ(ReasonOf(EditArgsFromProto(request)), "RANGE_INVALID");
}

TEST(SessionConvertTest, QueriesAreChecked) {
  using R = v1::QuerySessionRequest;
  struct Case {
    std::string what;
    std::function<void(R&)> change;
    std::string reason;
  };
  const std::string weight = "CONTEXT_WEIGHT_OUT_OF_RANGE";
  const std::vector<Case> cases = {
      {"good", [](R&) {}, ""},
      {"none", [](R& r) { r.clear_questions(); }, "QUESTIONS_OUT_OF_RANGE"},
      {"64",
       [](R& r) {
         while (r.questions_size() < 64) r.add_questions()->set_text("x");
       },
       ""},
      {"65",
       [](R& r) {
         while (r.questions_size() < 65) r.add_questions()->set_text("x");
       },
       "QUESTIONS_OUT_OF_RANGE"},
      {"unset", [](R& r) { r.add_questions(); }, "QUESTION_EMPTY"},
      {"empty", [](R& r) { r.add_questions()->set_text(""); },
       "QUESTION_EMPTY"},
      {"no ids", [](R& r) { r.add_questions()->mutable_token_ids(); },
       "QUESTION_EMPTY"},
      {"attended 0", [](R& r) { r.set_max_attended(0); }, ""},
      {"attended 1000", [](R& r) { r.set_max_attended(1000); }, ""},
      {"attended 1001", [](R& r) { r.set_max_attended(1001); },
       "MAX_ATTENDED_OUT_OF_RANGE"},
      {"attended max", [](R& r) { r.set_max_attended(kMax32); },
       "MAX_ATTENDED_OUT_OF_RANGE"},
      {"similar 0", [](R& r) { r.set_max_similar(0); }, ""},
      {"similar 1000", [](R& r) { r.set_max_similar(1000); }, ""},
      {"similar 1001", [](R& r) { r.set_max_similar(1001); },
       "MAX_SIMILAR_OUT_OF_RANGE"},
      {"similar max", [](R& r) { r.set_max_similar(kMax32); },
       "MAX_SIMILAR_OUT_OF_RANGE"},
      {"weight -2", [](R& r) { r.set_document_weight(-2); }, ""},
      {"weight 2", [](R& r) { r.set_document_weight(2); }, ""},
      {"weight 2.5", [](R& r) { r.set_document_weight(2.5F); }, weight},
      {"weight -2.5", [](R& r) { r.set_document_weight(-2.5F); }, weight},
      {"weight nan", [](R& r) { r.set_document_weight(NAN); }, weight},
      {"weight inf", [](R& r) { r.set_document_weight(INFINITY); }, weight},
  };
  for (const Case& c : cases) {
    R request = GoodQuery();
    c.change(request);
    EXPECT_EQ(ReasonOf(QueryArgsFromProto(request, ServedModel())), c.reason)
        << c.what;
  }
}

TEST(SessionConvertTest, QueriesTakeTheServersWeight) {
  ServedModel model;
  EXPECT_EQ(QueryArgsFromProto(GoodQuery(), model)->document_weight, 0);
  model.default_options.document_weight = -0.5F;
  const auto args = QueryArgsFromProto(GoodQuery(), model);
  ASSERT_TRUE(args.ok());
  EXPECT_EQ(args->document_weight, -0.5F);
  EXPECT_EQ(args->max_attended, 10);
  EXPECT_EQ(args->max_similar, 10);
  v1::QuerySessionRequest request = GoodQuery();
  request.set_document_weight(0);
  EXPECT_EQ(QueryArgsFromProto(request, model)->document_weight, 0);
}

TEST(SessionConvertTest, TimesKeepTheirNanoseconds) {
  SessionInfo info;
  info.create_time = absl::FromUnixSeconds(-1) + absl::Nanoseconds(3);
  info.expire_time = absl::FromUnixSeconds(5) + absl::Nanoseconds(999'999'999);
  info.parent = "parent";
  const v1::Session session = ToProto(info, Durability::kShared, ServedModel());
  EXPECT_EQ(session.create_time().seconds(), -1);
  EXPECT_EQ(session.create_time().nanos(), 3);
  EXPECT_EQ(session.expire_time().seconds(), 5);
  EXPECT_EQ(session.expire_time().nanos(), 999'999'999);
  EXPECT_EQ(session.durability(), v1::DURABILITY_SHARED);
  EXPECT_EQ(session.parent_session_id(), "parent");
  EXPECT_EQ(session.session_id().size(), 22U);
  EXPECT_EQ(session.state_digest().size(), 32U);
}

}  // namespace
}  // namespace longhand
