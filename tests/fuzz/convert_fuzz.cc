// Requests as they come from the wire: refused with a reason, or options that
// say the same on their way back.

#include <cmath>
#include <string>
#include <variant>

#include "google/protobuf/stubs/logging.h"
#include "server/convert.h"
#include "server/session_convert.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/testing/fake_encoder.h"

namespace longhand::testing {
namespace {

const ServedModel& Model() {
  static const auto* const model = new ServedModel(FakeServedModel());
  return *model;
}

void CheckClientError(const absl::Status& status) {
  CheckRefusal(status, {absl::StatusCode::kInvalidArgument,
                        absl::StatusCode::kNotFound});
}

template <typename Message>
bool Parse(std::string_view bytes, Message* message) {
  return bytes.size() <= size_t{1} << 20 &&
         message->ParseFromArray(bytes.data(), int(bytes.size()));
}

void RunOptions(const v1::EncodeOptions& proto) {
  const auto options = FromProto(proto, Model());
  if (!options.ok()) return CheckClientError(options.status());
  LH_CHECK(!options->gate || (*options->gate >= 0 && *options->gate <= 1));
  for (const int layer : options->retrieval_layers) LH_CHECK(layer >= 0);
  for (const int64_t token : options->global_tokens) LH_CHECK(token >= 0);
  const v1::EncodeOptions back = ToProto(*options, Model());
  const auto again = FromProto(back, Model());
  LH_CHECK(again.ok());
  // By their bytes: NaN is the same as NaN.
  LH_CHECK(ToProto(*again, Model()).SerializeAsString() ==
           back.SerializeAsString());
}

void RunEncode(std::string_view bytes) {
  v1::EncodeRequest request;
  if (!Parse(bytes, &request)) return;
  RunOptions(request.options());
  const auto content = ContentFromProto(request);
  if (!content.ok()) return CheckClientError(content.status());
  const size_t items =
      std::visit([](const auto& all) { return all.size(); }, *content);
  LH_CHECK(items == (request.has_text()
                         ? request.text().size()
                         : size_t(request.token_ids().ids_size())));
}

void RunAppend(std::string_view bytes) {
  v1::AppendSessionRequest request;
  if (!Parse(bytes, &request)) return;
  const auto args = AppendArgsFromProto(request);
  if (!args.ok()) CheckClientError(args.status());
}

void RunEdit(std::string_view bytes) {
  v1::EditSessionRequest request;
  if (!Parse(bytes, &request)) return;
  const auto args = EditArgsFromProto(request);
  if (!args.ok()) return CheckClientError(args.status());
  LH_CHECK(args->begin <= args->end);
}

void RunRewind(std::string_view bytes) {
  v1::RewindSessionRequest request;
  if (!Parse(bytes, &request)) return;
  const auto args = EditArgsFromProto(request);
  if (!args.ok()) return CheckClientError(args.status());
  LH_CHECK(args->begin == request.offset());
}

void RunQuery(std::string_view bytes) {
  v1::QuerySessionRequest request;
  if (!Parse(bytes, &request)) return;
  const auto args = QueryArgsFromProto(request, Model());
  if (!args.ok()) return CheckClientError(args.status());
  LH_CHECK(args->questions.size() == size_t(request.questions_size()));
  LH_CHECK(std::abs(args->document_weight) <= 2);
}

void RunCreate(std::string_view bytes) {
  v1::CreateSessionRequest request;
  if (!Parse(bytes, &request)) return;
  RunOptions(request.options());
  const auto ttl = TtlFromProto(request.has_ttl(), request.ttl());
  if (!ttl.ok()) return CheckClientError(ttl.status());
  if (!ttl->has_value()) return;
  LH_CHECK(**ttl > absl::ZeroDuration());
  google::protobuf::Duration back;
  SetDuration(**ttl, &back);
  LH_CHECK(back.seconds() == request.ttl().seconds() &&
           back.nanos() == request.ttl().nanos());
}

void RunNames(std::string_view text) {
  const SessionId id = SessionIdFromProto(text);
  LH_CHECK(SessionIdFromProto(FormatSessionId(id)) == id);
  const auto parsed = ParseSessionId(text);
  LH_CHECK(!parsed.has_value() || FormatSessionId(*parsed) == text);
  const absl::Status name = CheckModelName(text, Model());
  if (!name.ok()) CheckClientError(name);
}

}  // namespace
}  // namespace longhand::testing

// The first byte chooses the message.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhand::testing;  // NOLINT
  constexpr void (*kMessages[])(std::string_view) = {
      RunEncode, RunAppend, RunEdit, RunRewind, RunQuery, RunCreate, RunNames};
  // The library would print a line for every string that is not UTF-8.
  static auto* const handler = google::protobuf::SetLogHandler(nullptr);
  static_cast<void>(handler);
  FuzzInput input(data, size);
  const size_t message = input.Choose(std::size(kMessages));
  kMessages[message](input.Rest());
  return 0;
}
