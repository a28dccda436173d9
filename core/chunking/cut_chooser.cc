#include "core/chunking/cut_chooser.h"

namespace longhand {

void CutChooser::Add(double score, std::vector<Chunk>* out) {
  const int64_t at = received_++;
  // An earlier cut that isn't better can't be chosen any more.
  while (!cuts_.empty() && cuts_.back().score <= score) cuts_.pop_back();
  cuts_.push_back({at, score});
  if (at - begin_ < max_tokens_) return;
  while (cuts_.front().at - begin_ < min_tokens_) cuts_.pop_front();
  EmitUntil(cuts_.front().at, out);
}

void CutChooser::Finish(std::vector<Chunk>* out) {
  if (received_ > begin_) EmitUntil(received_, out);
}

void CutChooser::EmitUntil(int64_t end, std::vector<Chunk>* out) {
  out->push_back({begin_, end, begin_, end});
  begin_ = end;
}

}  // namespace longhand
