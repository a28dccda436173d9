#include "bench/quality/experiment.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "bench/quality/answering.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace longhand::quality {
namespace {

// Documents per turn of a speed round: enough for all workers.
constexpr size_t kSpeedDocuments = 4;
// Cached and new vectors are the same below this difference; the last bits
// depend on how documents were batched.
constexpr float kSameVector = 1e-5f;

Variant IndependentVariant() {
  Variant variant;
  variant.name = "independent";
  variant.options.mechanism = "independent";
  variant.parameters = {{"mechanism", "independent"}};
  return variant;
}

bool Same(const DocumentVectors& a, const DocumentVectors& b) {
  if (a.spans != b.spans || a.vectors.size() != b.vectors.size()) return false;
  for (size_t i = 0; i < a.vectors.size(); ++i) {
    if (!(std::fabs(a.vectors[i] - b.vectors[i]) <= kSameVector)) return false;
  }
  return true;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half]
                                : (values[half - 1] + values[half]) / 2;
}

// Gives the vectors of chunks that were encoded on their own back to their
// documents.
std::vector<DocumentVectors> Regroup(
    const std::vector<DocumentVectors>& whole,
    const std::vector<DocumentVectors>& documents) {
  std::vector<DocumentVectors> out;
  size_t next = 0;
  for (const DocumentVectors& document : documents) {
    DocumentVectors& regrouped = out.emplace_back();
    regrouped.spans = document.spans;
    for (size_t i = 0; i < document.spans.size(); ++i, ++next) {
      regrouped.vectors.insert(regrouped.vectors.end(),
                               whole[next].vectors.begin(),
                               whole[next].vectors.end());
      regrouped.encoded_tokens += whole[next].encoded_tokens;
    }
  }
  return out;
}

}  // namespace

Experiment::Experiment(const Corpus* corpus, const QueryFile* queries,
                       DocumentEncoder* encoder, const VectorCache* cache,
                       const ExperimentOptions& options)
    : corpus_(corpus),
      queries_(queries),
      encoder_(encoder),
      cache_(cache),
      options_(options) {
  for (const CorpusDocument& document : corpus_->documents) {
    document_of_id_.emplace(document.id, texts_.size());
    texts_.push_back(document.text);
  }
}

absl::Status Experiment::Prepare() {
  std::vector<std::string> texts;
  for (const Query& query : queries_->queries) {
    const auto document = document_of_id_.find(query.document);
    if (document == document_of_id_.end() ||
        query.gold.end > texts_[document->second].size()) {
      return MakeError(absl::StatusCode::kInvalidArgument, "QUERIES_INVALID",
                       absl::StrCat("the corpus lacks the answer in ",
                                    query.document, "; make the queries anew"));
    }
    texts.push_back(query.text);
  }
  LH_ASSIGN_OR_RETURN(
      const Encoded encoded,
      EncodeCached(absl::StrCat("queries ", queries_->sha256),
                   IndependentVariant(), texts, /*whole=*/true));
  for (const DocumentVectors& query : encoded.documents) {
    query_vectors_.insert(query_vectors_.end(), query.vectors.begin(),
                          query.vectors.end());
  }
  return absl::OkStatus();
}

absl::StatusOr<VariantResult> Experiment::Run(const Variant& variant) {
  VariantResult result{.variant = variant};
  Encoded encoded;
  if (variant.kind == VariantKind::kAdded) {
    for (const DocumentVectors& document : done_.at(variant.of)) {
      encoded.documents.push_back(
          AddDocumentVector(document, variant.addition, variant.weight));
    }
  } else {
    LH_ASSIGN_OR_RETURN(encoded, EncodeVariant(variant));
    const bool measure =
        options_.speed == SpeedPolicy::kAlways ||
        (options_.speed == SpeedPolicy::kNewVectors && !encoded.cached);
    if (measure) {
      LH_ASSIGN_OR_RETURN(result.speed, MeasureSpeed(variant));
    }
  }
  for (const DocumentVectors& document : encoded.documents) {
    result.chunks += document.spans.size();
    result.encoded_tokens += document.encoded_tokens;
  }
  result.tasks = Answer(encoded.documents);
  done_[variant.name] = std::move(encoded.documents);
  return result;
}

absl::StatusOr<Experiment::Encoded> Experiment::EncodeVariant(
    const Variant& variant) {
  if (variant.kind == VariantKind::kPrefixed) return EncodePrefixed(variant);
  return EncodeCached(absl::StrCat("corpus ", corpus_->sha256), variant, texts_,
                      /*whole=*/false);
}

absl::StatusOr<Experiment::Encoded> Experiment::EncodePrefixed(
    const Variant& variant) {
  std::vector<size_t> all(texts_.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  const std::string purpose =
      absl::StrCat("topic in front of ", variant.of, " ", corpus_->sha256);
  LH_ASSIGN_OR_RETURN(
      Encoded encoded,
      EncodeCached(purpose, variant, TextsOf(variant, all), /*whole=*/true));
  encoded.documents = Regroup(encoded.documents, done_.at(variant.of));
  return encoded;
}

absl::StatusOr<Experiment::Encoded> Experiment::EncodeCached(
    std::string_view purpose, const Variant& variant,
    const std::vector<std::string>& texts, bool whole) {
  const std::string key =
      absl::StrCat(encoder_->encoder().model().info().fingerprint, "\n",
                   absl::string_view(purpose.data(), purpose.size()), "\n",
                   variant.parameters.dump());
  if (cache_ != nullptr && !options_.refresh) {
    auto cached = cache_->Load(key);
    if (cached.has_value() && StillSame(*cached, variant, texts)) {
      return Encoded{*std::move(cached), /*cached=*/true};
    }
  }
  Encoded encoded;
  LH_ASSIGN_OR_RETURN(encoded.documents,
                      whole ? encoder_->EncodeWhole(texts, variant.options)
                            : encoder_->Encode(texts, variant.options));
  if (cache_ != nullptr) {
    LH_RETURN_IF_ERROR(cache_->Store(key, encoded.documents));
  }
  return encoded;
}

bool Experiment::StillSame(const std::vector<DocumentVectors>& cached,
                           const Variant& variant,
                           const std::vector<std::string>& texts) {
  if (cached.size() != texts.size() || texts.empty()) return false;
  const auto longest = std::max_element(
      texts.begin(), texts.end(),
      [](const auto& a, const auto& b) { return a.size() < b.size(); });
  const auto fresh = encoder_->Encode({&*longest, 1}, variant.options);
  return fresh.ok() && Same((*fresh)[0], cached[longest - texts.begin()]);
}

std::vector<std::string> Experiment::TextsOf(
    const Variant& variant, absl::Span<const size_t> documents) const {
  std::vector<std::string> texts;
  for (const size_t i : documents) {
    if (variant.kind != VariantKind::kPrefixed) {
      texts.push_back(texts_[i]);
      continue;
    }
    for (const ByteRange& span : done_.at(variant.of)[i].spans) {
      texts.push_back(absl::StrCat(corpus_->documents[i].topic, ". ",
                                   texts_[i].substr(span.begin, span.size())));
    }
  }
  return texts;
}

absl::StatusOr<Speed> Experiment::MeasureSpeed(const Variant& variant) {
  const Variant base = IndependentVariant();
  std::vector<double> relative, tokens_per_second;
  for (int round = 0; round < options_.speed_rounds; ++round) {
    std::vector<size_t> documents;
    for (size_t i = 0; i < kSpeedDocuments; ++i) {
      documents.push_back((round * kSpeedDocuments + i) % texts_.size());
    }
    double seconds[2] = {0, 0};
    uint64_t rows = 0, chunks = 0;
    for (int turn = 0; turn < 2; ++turn) {
      const bool is_base = turn == round % 2;
      const Variant& measured = is_base ? base : variant;
      const std::vector<std::string> texts = TextsOf(measured, documents);
      const absl::Time start = absl::Now();
      LH_ASSIGN_OR_RETURN(const auto done,
                          encoder_->Encode(texts, measured.options));
      seconds[is_base] = absl::ToDoubleSeconds(absl::Now() - start);
      if (!is_base) continue;
      for (const DocumentVectors& document : done) {
        rows += document.encoded_tokens;
        chunks += document.spans.size();
      }
    }
    const Model& model = encoder_->encoder().model();
    const uint64_t special =
        model.prefix_ids().size() + model.suffix_ids().size();
    relative.push_back(seconds[1] / seconds[0]);
    tokens_per_second.push_back((rows - special * chunks) / seconds[0]);
  }
  return Speed{Median(tokens_per_second), Median(relative)};
}

std::vector<TaskResult> Experiment::Answer(
    const std::vector<DocumentVectors>& documents) const {
  const size_t hidden = query_vectors_.size() / queries_->queries.size();
  std::vector<TaskResult> results;
  for (const Task& task : Tasks()) {
    // The collection's documents, and where each stands among them.
    std::vector<const DocumentVectors*> pool;
    std::map<size_t, size_t> place;
    for (size_t i = 0; i < documents.size(); ++i) {
      if (corpus_->documents[i].collection != task.collection) continue;
      place[i] = pool.size();
      pool.push_back(&documents[i]);
    }
    for (const Half half : {Half::kDev, Half::kTest}) {
      TaskResult result{.task = std::string(task.name), .half = half};
      std::vector<Question> questions;
      for (size_t i = 0; i < queries_->queries.size(); ++i) {
        const Query& query = queries_->queries[i];
        if (query.task != task.name || query.half != half) continue;
        const size_t document = place.at(document_of_id_.at(query.document));
        questions.push_back(
            {{&query_vectors_[i * hidden], hidden}, document, query.gold});
        result.groups.push_back(static_cast<int>(document));
      }
      Answers answers = RankAnswers(pool, questions, task.within_document);
      result.ranks = std::move(answers.ranks);
      result.metrics = ComputeMetrics(result.ranks);
      result.undivided =
          questions.empty() ? 0 : double(answers.undivided) / questions.size();
      results.push_back(std::move(result));
    }
  }
  return results;
}

}  // namespace longhand::quality
