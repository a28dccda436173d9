// The rows of the append table, one by one, and in their order: each case also
// has everything wrong that later rows would answer.

#include "core/session/append_protocol.h"

#include <functional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/session/crc32c.h"
#include "core/store/store_errors.h"
#include "gtest/gtest.h"

namespace longhand {
namespace {

using absl::StatusCode;

const std::string kId(16, 'i');

// An append that fits its session.
AppendSituation Fitting() {
  AppendSituation s;
  s.place.committed_offset = 10;
  s.place.durable_offset = 7;
  s.place.digest.fill(3);
  s.place.generation = 2;
  s.kind = ContentKind::kText;
  s.committed_bytes = 10;
  s.expected_offset = 10;
  s.append_id = kId;
  s.length = s.bytes = 5;
  s.max_append_bytes = 100;
  s.max_document_bytes = 100;
  return s;
}

struct Row {
  std::string name;
  // Makes the row's condition true and leaves those before it alone.
  std::function<void(AppendSituation&)> spoil;
  StatusCode code;
  std::string reason;
};

std::vector<AppendRecord>& SeenRecords() {
  static auto* const records = [] {
    AppendRecord record;
    record.append_id.fill('i');
    record.expected_offset = 5;
    record.length = 5;
    record.payload_hash.fill(1);
    return new std::vector<AppendRecord>{record};
  }();
  return *records;
}

// In the table's order.
std::vector<Row> Rows() {
  using S = AppendSituation;
  return {
      {"2", [](S& s) { s.lookup = SessionUnknownError(); },
       StatusCode::kNotFound, "SESSION_NOT_FOUND"},
      {"3 expired", [](S& s) { s.lookup = SessionExpiredError(); },
       StatusCode::kNotFound, "SESSION_EXPIRED"},
      {"3 evicted", [](S& s) { s.lookup = SessionEvictedError(); },
       StatusCode::kNotFound, "SESSION_EVICTED"},
      {"4", [](S& s) { s.closed = true; }, StatusCode::kFailedPrecondition,
       "SESSION_CLOSED"},
      {"5", [](S& s) { s.lookup = FingerprintError("weights"); },
       StatusCode::kFailedPrecondition, "MODEL_FINGERPRINT_MISMATCH"},
      {"6", [](S& s) { s.lookup = WrongReplicaError("there"); },
       StatusCode::kAborted, "WRONG_REPLICA"},
      {"7", [](S& s) { s.lookup = StaleSessionError(); }, StatusCode::kAborted,
       "STALE_GENERATION"},
      {"8 offset", [](S& s) { s.expected_offset.reset(); },
       StatusCode::kInvalidArgument, "BAD_APPEND"},
      {"8 checksum", [](S& s) { s.given_crc32c = s.crc32c + 1; },
       StatusCode::kInvalidArgument, "CHECKSUM"},
      {"8 empty", [](S& s) { s.length = s.bytes = 0; },
       StatusCode::kInvalidArgument, "BAD_APPEND"},
      {"8 long", [](S& s) { s.bytes = 101; }, StatusCode::kInvalidArgument,
       "BAD_APPEND"},
      {"8 kind", [](S& s) { s.content_kind = ContentKind::kIds; },
       StatusCode::kInvalidArgument, "BAD_APPEND"},
      {"10", [](S& s) { s.appends = &SeenRecords(); },
       StatusCode::kInvalidArgument, "APPEND_ID_REUSED"},
      {"12", [](S& s) { s.in_flight = std::string(16, 'j'); },
       StatusCode::kAborted, "CONCURRENT_APPEND"},
      {"13", [](S& s) { s.expected_offset = 11; }, StatusCode::kOutOfRange,
       "OFFSET_GAP"},
      {"14", [](S& s) { s.expected_offset = 9; }, StatusCode::kAlreadyExists,
       "OFFSET_ALREADY_WRITTEN"},
      {"15", [](S& s) { s.if_state_digest = SessionDigest{}; },
       StatusCode::kAborted, "STATE_DIVERGED"},
      {"16", [](S& s) { s.max_document_bytes = 14; },
       StatusCode::kResourceExhausted, "SESSION_TOKEN_LIMIT"},
      {"17", [](S& s) { s.obstacle = QuotaError(3); },
       StatusCode::kResourceExhausted, "TENANT_QUOTA"},
      {"18 draining", [](S& s) { s.obstacle = DrainingError(); },
       StatusCode::kUnavailable, "DRAINING"},
      {"18 store", [](S& s) { s.obstacle = StoreDegradedError(); },
       StatusCode::kUnavailable, "STORE_DEGRADED"},
      {"19", [](S& s) { s.obstacle = QueueTimeoutError(); },
       StatusCode::kDeadlineExceeded, "QUEUE_TIMEOUT"},
  };
}

std::string ReasonOf(const AppendDecision& decision) {
  const auto detail = GetErrorDetail(decision.status);
  return detail ? detail->reason : "";
}

TEST(AppendProtocolTest, AFittingAppendIsApplied) {
  EXPECT_EQ(DecideAppend(Fitting()).verdict, AppendVerdict::kApply);
}

TEST(AppendProtocolTest, EachRowAnswersAsTheTableSays) {
  for (const Row& row : Rows()) {
    AppendSituation s = Fitting();
    row.spoil(s);
    const AppendDecision decision = DecideAppend(s);
    EXPECT_EQ(decision.verdict, AppendVerdict::kRefuse) << row.name;
    EXPECT_EQ(decision.status.code(), row.code) << row.name;
    EXPECT_EQ(ReasonOf(decision), row.reason) << row.name;
  }
}

TEST(AppendProtocolTest, AnEarlierRowGoesBeforeALaterOne) {
  const std::vector<Row> rows = Rows();
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t j = i + 1; j < rows.size(); ++j) {
      AppendSituation s = Fitting();
      // What a later row changes may not hide the earlier one.
      rows[j].spoil(s);
      const absl::Status lookup = s.lookup;
      rows[i].spoil(s);
      // A known id goes before the end of the document, see DecideAppend; and
      // one field can hold one value.
      if (s.closed && s.appends != nullptr) continue;
      if (!lookup.ok() && lookup != s.lookup) continue;
      if (rows[i].name.substr(0, 1) == "8" && rows[j].name[0] == '8') continue;
      EXPECT_EQ(ReasonOf(DecideAppend(s)), rows[i].reason)
          << rows[i].name << " before " << rows[j].name;
    }
  }
}

TEST(AppendProtocolTest, ErrorsAboutASessionTellItsPlace) {
  for (const Row& row : Rows()) {
    AppendSituation s = Fitting();
    row.spoil(s);
    const auto detail = GetErrorDetail(DecideAppend(s).status);
    ASSERT_TRUE(detail.has_value());
    if (!s.lookup.ok()) {
      EXPECT_EQ(detail->metadata.count("current_offset"), 0u) << row.name;
      continue;
    }
    EXPECT_EQ(detail->metadata.at("current_offset"), "10") << row.name;
    EXPECT_EQ(detail->metadata.at("durable_offset"), "7") << row.name;
    EXPECT_EQ(detail->metadata.at("generation"), "2") << row.name;
    std::string digest;
    for (int i = 0; i < 32; ++i) digest += "03";
    EXPECT_EQ(detail->metadata.at("state_digest"), digest) << row.name;
  }
}

TEST(AppendProtocolTest, AKnownAppendIsADuplicateWhateverFollowed) {
  AppendSituation s = Fitting();
  s.appends = &SeenRecords();
  s.expected_offset = 5;
  s.payload_hash.fill(1);
  s.if_state_digest = SessionDigest{};
  s.in_flight = std::string(16, 'j');
  s.obstacle = StoreDegradedError();
  EXPECT_EQ(DecideAppend(s).verdict, AppendVerdict::kDuplicate);
  EXPECT_EQ(DecideAppend(s).record, &SeenRecords()[0]);
  // The answer to the one that closed the document may have been lost.
  s.closed = true;
  EXPECT_EQ(DecideAppend(s).verdict, AppendVerdict::kDuplicate);
  s.length = 4;
  EXPECT_EQ(ReasonOf(DecideAppend(s)), "APPEND_ID_REUSED");
  s.length = 5;
  s.expected_offset = 6;
  EXPECT_EQ(ReasonOf(DecideAppend(s)), "APPEND_ID_REUSED");
}

TEST(AppendProtocolTest, TheSameAppendWaitsForItself) {
  AppendSituation s = Fitting();
  s.in_flight = kId;
  EXPECT_EQ(DecideAppend(s).verdict, AppendVerdict::kWait);
  // An edit has no id.
  s.in_flight = "";
  EXPECT_EQ(ReasonOf(DecideAppend(s)), "CONCURRENT_APPEND");
}

TEST(AppendProtocolTest, AnIdHasSixteenBytes) {
  for (const size_t size : {0, 15, 17}) {
    AppendSituation s = Fitting();
    s.append_id = std::string(size, 'i');
    EXPECT_EQ(ReasonOf(DecideAppend(s)), "BAD_APPEND") << size;
  }
}

TEST(AppendProtocolTest, AnEmptyAppendMayClose) {
  AppendSituation s = Fitting();
  s.length = s.bytes = 0;
  s.close = true;
  s.content_kind = ContentKind::kIds;
  EXPECT_EQ(DecideAppend(s).verdict, AppendVerdict::kApply);
}

TEST(AppendProtocolTest, DigestsTellChangesApart) {
  const SessionDigest zero{};
  const Content text = std::string("ab");
  const Content ids = std::vector<int32_t>{0x6261};
  const std::vector<SessionDigest> digests = {
      zero,
      DigestAppend(zero, text),
      DigestAppend(zero, ids),
      DigestAppend(DigestAppend(zero, std::string("a")), std::string("b")),
      DigestClose(zero),
      DigestEdit(zero, 0, 2, std::string()),
      DigestEdit(zero, 0, UINT64_MAX, std::string()),
      DigestEdit(zero, 0, 2, text),
      DigestEdit(zero, 0, 2, ids),
      DigestEdit(zero, 2, 2, text),
  };
  for (size_t i = 0; i < digests.size(); ++i) {
    for (size_t j = 0; j < i; ++j) EXPECT_NE(digests[i], digests[j]) << i << j;
  }
  // A rewind is the same change in documents of both kinds.
  EXPECT_EQ(DigestEdit(zero, 0, 2, std::vector<int32_t>()),
            DigestEdit(zero, 0, 2, std::string()));
}

TEST(AppendProtocolTest, HashesCoverKindAndEnd) {
  EXPECT_NE(HashAppend(std::string("a"), false),
            HashAppend(std::string("a"), true));
  EXPECT_NE(HashAppend(std::string("abcd"), false),
            HashAppend(std::vector<int32_t>{0x64636261}, false));
}

TEST(Crc32cTest, AgreesWithPublishedValues) {
  // RFC 3720, B.4, and the check value of the catalogue of CRCs.
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

}  // namespace
}  // namespace longhand
