#include "core/session/record_builder.h"

#include <utility>

#include "core/base/check.h"
#include "core/base/status_macros.h"

namespace longhand {
bool IsSameContent(const ChunkRecord& a, const ChunkRecord& b) {
  return a.place.begin == b.place.begin && a.place.end == b.place.end &&
         a.place.window_begin == b.place.window_begin &&
         a.place.window_end == b.place.window_end &&
         a.begin_byte == b.begin_byte && a.end_byte == b.end_byte &&
         a.ids == b.ids && a.token_begin == b.token_begin &&
         a.token_end == b.token_end && a.text == b.text;
}

RecordBuilder::RecordBuilder(const Context& context, ChunkRecords* records)
    : context_(context), records_(records) {
  if (!records->empty()) previous_ = records->back()->encoded->key;
}

void RecordBuilder::ReuseFrom(
    absl::Span<const std::shared_ptr<const ChunkRecord>> records) {
  for (const auto& record : records) {
    reusable_.emplace(record->encoded->key, record->encoded);
  }
}

absl::Status RecordBuilder::Add(std::vector<CutChunk> cuts) {
  LH_RETURN_IF_ERROR(context_.stop.Check());
  for (CutChunk& cut : cuts) LH_RETURN_IF_ERROR(AddOne(std::move(cut)));
  return absl::OkStatus();
}

absl::Status RecordBuilder::AddOne(CutChunk cut) {
  const ChunkKey key = context_.encoder.MakeKey(
      context_.salt, previous_, cut.record.place, cut.window_ids);
  previous_ = key;
  if (waiting_.empty() && IsOld(cut.record, key)) {
    ++shared_;
    records_->push_back(old_[records_->size()]);
    return absl::OkStatus();
  }
  auto record = std::make_shared<ChunkRecord>(std::move(cut.record));
  if ((record->encoded = Find(key)) != nullptr) {
    LH_RETURN_IF_ERROR(Finish());
    reused_tokens_ += record->ids.size();
    records_->push_back(std::move(record));
    return absl::OkStatus();
  }
  waiting_.push_back({std::move(record), std::move(cut.window_ids), key});
  if (int(waiting_.size()) < context_.encoder.max_batch_chunks()) {
    return absl::OkStatus();
  }
  return ComputeWaiting();
}

absl::Status RecordBuilder::Finish() {
  return waiting_.empty() ? absl::OkStatus() : ComputeWaiting();
}

bool RecordBuilder::IsOld(const ChunkRecord& record,
                          const ChunkKey& key) const {
  const size_t index = records_->size();
  if (shared_ != index || index >= old_.size()) return false;
  const ChunkRecord& old = *old_[index];
  return old.encoded->key == key && old.restart == record.restart &&
         IsSameContent(old, record);
}

std::shared_ptr<const EncodedChunk> RecordBuilder::Find(const ChunkKey& key) {
  const auto known = reusable_.find(key);
  if (known == reusable_.end()) return context_.resources.Find(key);
  // It may have come from a document that was not kept.
  if (context_.keep) context_.resources.Keep(known->second);
  return known->second;
}

absl::Status RecordBuilder::ComputeWaiting() {
  std::vector<std::shared_ptr<const MemoryReservation>> charges;
  std::vector<ChunkWork> work;
  for (Waiting& waiting : waiting_) {
    const int tokens = static_cast<int>(waiting.record->ids.size());
    LH_ASSIGN_OR_RETURN(
        std::shared_ptr<const MemoryReservation> charge,
        context_.resources.Reserve(context_.encoder.EncodedBytes(tokens)));
    charges.push_back(std::move(charge));
    work.push_back(
        {waiting.record->place, std::move(waiting.window_ids), waiting.key});
  }
  LH_ASSIGN_OR_RETURN(std::vector<std::shared_ptr<EncodedChunk>> encoded,
                      context_.encoder.Compute({*records_, context_.index},
                                               work, context_.stop));
  LH_CHECK(encoded.size() == waiting_.size());
  for (size_t i = 0; i < encoded.size(); ++i) {
    encoded[i]->charge = std::move(charges[i]);
    computed_tokens_ += waiting_[i].record->ids.size();
    waiting_[i].record->encoded = std::move(encoded[i]);
    if (context_.keep) context_.resources.Keep(waiting_[i].record->encoded);
    records_->push_back(std::move(waiting_[i].record));
  }
  waiting_.clear();
  return absl::OkStatus();
}

}  // namespace longhand
