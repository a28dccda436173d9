#include "bench/gate/work.h"

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bench/gate/attention_work.h"
#include "bench/gate/made_attention.h"
#include "bench/gate/pass_work.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"
#include "core/pooling/registry.h"
#include "core/text/text_stream.h"
#include "core/text/tokenizer.h"

namespace longhand::gate {
namespace {

constexpr int kPooledRows = 128;
constexpr int kPooledColumns = 384;
constexpr size_t kTextBytes = 16 * 1024;
constexpr uint64_t kMaxTextBytes = uint64_t{1} << 24;

// Most are in int8, because valgrind computes a fused multiply-add of fp32 in
// software: chunk_fp32 alone is for the fp32 linear layers. All else is the
// same code in both.
const PassShape kPasses[] = {
    {"chunk_fp32", "fp32", "independent", 1, 128},
    {"chunk_int8", "int8", "independent", 1, 128},
    {"short_256", "int8", "independent", 1, 256},
    {"append", "int8", "bsbr", 1, 128, 512},
};

// Beside these a forward pass is nearly all linear layers, in which the cost of
// retrieval would not be seen.
const AttentionShape kAttentions[] = {
    {"bsbr_local", AttentionPart::kLocal, "bsbr", 1, 128},
    {"bsbr", AttentionPart::kRetrieve, "bsbr", 4, 128, 64},
    {"bsbr_top_k", AttentionPart::kRetrieve, "bsbr", 4, 128, 64, 8},
};

// A chunk's vector and the document's.
class PoolWork final : public Work {
 public:
  absl::Status Run(ComputeContext&) override {
    std::vector<float> pooled(kPooledColumns);
    pooler_->PoolChunk(hidden_.data(), kPooledRows, absl::MakeSpan(pooled));
    PoolState state;
    pooler_->AddChunk(pooled, kPooledRows, &state);
    pooler_->Finish(state, absl::MakeSpan(pooled));
    LH_CHECK(NormalizeL2(absl::MakeSpan(pooled)) > 0);
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<const Pooler> pooler_ =
      *(**PoolerRegistry().Find("mean"))();
  const std::vector<float> hidden_ =
      Uniform()(size_t{kPooledRows} * kPooledColumns);
};

class TokenizeWork final : public Work {
 public:
  TokenizeWork(std::unique_ptr<const Tokenizer> tokenizer, std::string text)
      : tokenizer_(std::move(tokenizer)), text_(std::move(text)) {}

  absl::Status Run(ComputeContext&) override {
    TextStream stream(tokenizer_.get());
    TokenSequence tokens;
    LH_RETURN_IF_ERROR(stream.Append(text_, &tokens));
    return stream.Finish(&tokens);
  }

 private:
  const std::unique_ptr<const Tokenizer> tokenizer_;
  const std::string text_;
};

absl::StatusOr<std::unique_ptr<Work>> MakeTokenizeWork(const WorkFiles& files) {
  std::unique_ptr<const Tokenizer> tokenizer;
  LH_ASSIGN_OR_RETURN(tokenizer, Tokenizer::Load(files.tokenizer));
  std::string source;
  LH_ASSIGN_OR_RETURN(source, ReadFile(files.text, kMaxTextBytes));
  if (source.empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "TEXT_EMPTY",
                     absl::StrCat(files.text, " is empty; give a text"));
  }
  std::string text;
  while (text.size() < kTextBytes) text += source;
  text.resize(kTextBytes);
  return std::make_unique<TokenizeWork>(std::move(tokenizer), std::move(text));
}

}  // namespace

std::vector<WorkInfo> Works() {
  std::vector<WorkInfo> works;
  for (const PassShape& shape : kPasses) works.push_back({shape.name});
  for (const AttentionShape& shape : kAttentions) works.push_back({shape.name});
  works.push_back({"pool"});
  works.push_back({"tokenize", /*is_rust=*/true});
  return works;
}

absl::StatusOr<std::unique_ptr<Work>> MakeWork(std::string_view name,
                                               const WorkFiles& files) {
  for (const PassShape& shape : kPasses) {
    if (shape.name == name) return MakePassWork(shape, files.model);
  }
  for (const AttentionShape& shape : kAttentions) {
    if (shape.name == name) return MakeAttentionWork(shape);
  }
  if (name == "pool") return std::make_unique<PoolWork>();
  if (name == "tokenize") return MakeTokenizeWork(files);
  std::vector<std::string> known;
  for (const WorkInfo& work : Works()) known.emplace_back(work.name);
  return MakeError(absl::StatusCode::kInvalidArgument, "WORK_UNKNOWN",
                   absl::StrCat("there is no work ", ToAbsl(name),
                                "; use one of: ", absl::StrJoin(known, ", ")));
}

}  // namespace longhand::gate
