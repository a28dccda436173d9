#include "bench/quality/answering.h"

#include <algorithm>

#include "Eigen/Core"
#include "bench/quality/metrics.h"

namespace longhand::quality {
namespace {

using RowMatrix =
    Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr size_t kQuestionsPerBlock = 64;

size_t WidthOf(const DocumentVectors& document) {
  return document.spans.empty()
             ? 0
             : document.vectors.size() / document.spans.size();
}

// All chunks of all documents below each other, and where each one begins.
struct Pool {
  RowMatrix vectors;           // [chunks, hidden]
  std::vector<size_t> begins;  // [documents + 1]
};

Pool Concatenate(absl::Span<const DocumentVectors* const> documents,
                 size_t width) {
  Pool pool;
  pool.begins.push_back(0);
  for (const DocumentVectors* document : documents) {
    pool.begins.push_back(pool.begins.back() + document->spans.size());
  }
  pool.vectors.resize(pool.begins.back(), width);
  for (size_t i = 0; i < documents.size(); ++i) {
    std::copy(documents[i]->vectors.begin(), documents[i]->vectors.end(),
              pool.vectors.data() + pool.begins[i] * width);
  }
  return pool;
}

// [questions in the block, chunks]
RowMatrix Scores(const Pool& pool, absl::Span<const Question> block) {
  RowMatrix queries(block.size(), pool.vectors.cols());
  for (size_t i = 0; i < block.size(); ++i) {
    std::copy(block[i].vector.begin(), block[i].vector.end(),
              queries.row(i).data());
  }
  return queries * pool.vectors.transpose();
}

}  // namespace

Answers RankAnswers(absl::Span<const DocumentVectors* const> pool,
                    absl::Span<const Question> questions,
                    bool within_document) {
  Answers answers;
  if (questions.empty()) return answers;
  const Pool all = Concatenate(pool, questions[0].vector.size());
  for (size_t at = 0; at < questions.size(); at += kQuestionsPerBlock) {
    const auto block = questions.subspan(at, kQuestionsPerBlock);
    const RowMatrix scores = Scores(all, block);
    for (size_t i = 0; i < block.size(); ++i) {
      const size_t document = block[i].document;
      CorrectChunks correct =
          FindCorrectChunks(block[i].gold, pool[document]->spans);
      answers.undivided += correct.majority;
      absl::Span<const float> row(scores.row(i).data(), scores.cols());
      const size_t begin = all.begins[document];
      if (within_document) {
        row = row.subspan(begin, all.begins[document + 1] - begin);
      } else {
        for (int& index : correct.indices) index += static_cast<int>(begin);
      }
      answers.ranks.push_back(RankOfBest(row, correct.indices));
    }
  }
  return answers;
}

DocumentVectors AddDocumentVector(const DocumentVectors& document,
                                  Addition addition, float weight) {
  DocumentVectors out = document;
  const size_t rows = document.spans.size();
  if (rows == 0) return out;
  Eigen::Map<RowMatrix> vectors(out.vectors.data(), rows, WidthOf(document));
  const Eigen::RowVectorXf added =
      addition == Addition::kFirstChunk
          ? Eigen::RowVectorXf(vectors.row(0))
          : Eigen::RowVectorXf(vectors.colwise().mean());
  vectors.rowwise() += weight * added;
  vectors.rowwise().normalize();
  return out;
}

}  // namespace longhand::quality
