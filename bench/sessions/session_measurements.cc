#include "bench/sessions/session_measurements.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include "absl/time/clock.h"
#include "core/base/status_macros.h"
#include "core/session/encoder_session_model.h"

namespace longhand::sessions {
namespace {

// Below SessionManagerOptions::max_append_bytes.
constexpr int64_t kPieceTokens = 32'768;
constexpr int kQuestionTokens = 16;

SessionCall Call() { return {.tenant = "bench"}; }

std::string RandomAppendId() {
  static std::random_device random;
  std::string id(16, '\0');
  for (char& byte : id) byte = static_cast<char>(random());
  return id;
}

template <typename Function>
absl::StatusOr<double> TimeOf(Function&& function) {
  const absl::Time begin = absl::Now();
  LH_RETURN_IF_ERROR(function());
  return absl::ToDoubleSeconds(absl::Now() - begin);
}

}  // namespace

std::vector<int32_t> TokenSupply::Take(int64_t count) {
  std::vector<int32_t> taken;
  taken.reserve(size_t(count));
  while (int64_t(taken.size()) < count) {
    taken.push_back(ids_[next_]);
    next_ = (next_ + 1) % ids_.size();
  }
  return taken;
}

absl::StatusOr<std::unique_ptr<Bench>> Bench::Create(
    Encoder* encoder, const std::string& store,
    const SessionStoreOptions& store_options, const BenchOptions& options) {
  std::unique_ptr<Bench> bench(
      new Bench(encoder, store, store_options, options));
  LH_RETURN_IF_ERROR(bench->Open());
  return bench;
}

absl::Status Bench::Open() {
  LH_ASSIGN_OR_RETURN(SessionStoreFactory * make,
                      SessionStoreRegistry().Find(store_name_));
  LH_ASSIGN_OR_RETURN(store_, make(store_options_));
  model_ = MakeEncoderSessionModel(encoder_);
  SessionManagerOptions options;
  options.max_memory_bytes = options_.max_memory_bytes;
  options.max_document_bytes = uint64_t{1} << 30;
  options.idle_release = absl::Hours(1);
  options.owner = "bench";
  LH_ASSIGN_OR_RETURN(
      manager_, SessionManager::Create(model_.get(), store_.get(),
                                       SessionEnvironment::Real(), options));
  return absl::OkStatus();
}

absl::Status Bench::Restart() {
  LH_RETURN_IF_ERROR(manager_->Drain(absl::Now() + absl::Minutes(10)));
  manager_.reset();
  store_.reset();
  return Open();
}

absl::StatusOr<SessionId> Bench::MakeSession(int64_t tokens,
                                             TokenSupply* supply) {
  LH_ASSIGN_OR_RETURN(
      const SessionInfo info,
      manager_->CreateSession(Call(), options_.encode, std::nullopt));
  for (int64_t offset = 0; offset < tokens; offset += kPieceTokens) {
    LH_RETURN_IF_ERROR(
        TimeAppend(info.key.id, offset,
                   supply->Take(std::min(kPieceTokens, tokens - offset)),
                   manager_->durability())
            .status());
  }
  return info.key.id;
}

absl::StatusOr<double> Bench::TimeAppend(const SessionId& id, int64_t offset,
                                         std::vector<int32_t> ids,
                                         Durability durability) {
  AppendArgs args;
  args.expected_offset = uint64_t(offset);
  args.append_id = RandomAppendId();
  args.content = std::move(ids);
  args.min_durability = durability;
  return TimeOf([&] { return manager_->Append(Call(), id, args).status(); });
}

absl::StatusOr<double> Bench::TimeQuery(const SessionId& id, int questions,
                                        TokenSupply* supply) {
  QueryArgs args;
  for (int i = 0; i < questions; ++i) {
    args.questions.push_back(supply->Take(kQuestionTokens));
  }
  return TimeOf([&] { return manager_->Query(Call(), id, args).status(); });
}

absl::StatusOr<std::vector<AppendCost>> MeasureAppends(
    Bench& bench, const BenchOptions& options, Encoder& encoder,
    TokenSupply* supply, std::vector<double>* bare) {
  std::vector<SessionId> sessions;
  std::vector<AppendCost> costs;
  for (const int64_t history : options.histories) {
    LH_ASSIGN_OR_RETURN(sessions.emplace_back(),
                        bench.MakeSession(history, supply));
    costs.push_back({.history = history});
  }
  const std::unique_ptr<SessionModel> model = MakeEncoderSessionModel(&encoder);
  EncodeOptions alone;
  alone.mechanism = "independent";
  alone.chunk_tokens = options.encode.chunk_tokens;
  LH_ASSIGN_OR_RETURN(const EncodeOptions resolved,
                      model->ResolveOptions(alone));
  LH_ASSIGN_OR_RETURN(const std::shared_ptr<const DocumentEncoder> document,
                      model->Open(resolved));
  const int64_t chunk_tokens = *resolved.chunk_tokens - 2;
  for (int round = 0; round < options.rounds; ++round) {
    const std::vector<ChunkWork> work = {
        {.place = {0, chunk_tokens, 0, chunk_tokens},
         .window_ids = supply->Take(chunk_tokens)}};
    LH_ASSIGN_OR_RETURN(bare->emplace_back(), TimeOf([&] {
                          return document->Compute({}, work, {}).status();
                        }));
    for (size_t i = 0; i < sessions.size(); ++i) {
      LH_ASSIGN_OR_RETURN(
          const SessionInfo fork,
          bench.manager().Fork(Call(), sessions[i], std::nullopt));
      LH_ASSIGN_OR_RETURN(costs[i].seconds.emplace_back(),
                          bench.TimeAppend(fork.key.id, costs[i].history,
                                           supply->Take(options.append_tokens),
                                           Durability::kMemory));
      LH_RETURN_IF_ERROR(bench.manager().DeleteSession(Call(), fork.key.id));
    }
  }
  return costs;
}

double Percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const double place = std::ceil(share * double(values.size())) - 1;
  return values[size_t(std::clamp(place, 0.0, double(values.size()) - 1))];
}

}  // namespace longhand::sessions
