#include "core/session/question_attention.h"

#include <utility>

#include "core/base/check.h"

namespace longhand {
namespace {

RetrievalOptions Unordered(RetrievalOptions options) {
  options.visibility = Visibility::kBidirectional;
  return options;
}

BatchView Alone(int chunk, const BatchView& batch) {
  BatchView alone = batch;
  alone.chunks = batch.chunks.subspan(size_t(chunk), 1);
  return alone;
}

}  // namespace

QuestionAttention::QuestionAttention(std::unique_ptr<const Attention> attention)
    : attention_(std::move(attention)),
      retrieval_(Unordered(attention_->retrieval())),
      takes_batches_(attention_->retrieval().visibility ==
                         Visibility::kTwoPass &&
                     attention_->retrieval().neighbors == 0) {}

void QuestionAttention::Exchange(int item, const BatchView& batch,
                                 ComputeContext& compute) const {
  LH_DCHECK(batch.first == batch.slots());
  if (takes_batches_) {
    attention_->Exchange(item, batch, compute);
    return;
  }
  for (int chunk = 0; chunk < static_cast<int>(batch.chunks.size()); ++chunk) {
    compute.workspace().Reset();
    attention_->Exchange(item, Alone(chunk, batch), compute);
  }
}

void QuestionAttention::Finish(int chunk, const BatchView& batch,
                               ComputeContext& compute) const {
  attention_->Finish(0, Alone(chunk, batch), compute);
}

}  // namespace longhand
