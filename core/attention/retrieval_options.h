// RetrievalOptions: what a chunk takes from the others and how it joins the
// chunk's own context. A plain value; not every mechanism uses every field
// (Attention::unused_options).
#ifndef LONGHAND_CORE_ATTENTION_RETRIEVAL_OPTIONS_H_
#define LONGHAND_CORE_ATTENTION_RETRIEVAL_OPTIONS_H_

#include <optional>
#include <string_view>
#include <vector>

#include "core/attention/visibility.h"

namespace longhand {

// The non-negative feature map phi of a state phi(K)^T V.
enum class FeatureMap {
  kElu,      // elu(x) + 1 (Katharopoulos et al. 2020, arXiv:2006.16236)
  kSoftmax,  // softmax over the features (Efficient Attention, Shen et al.
             // 2018, arXiv:1812.01243)
};

// How retrieved values join the chunk's own: context = (1 - a) own + a
// retrieved. With L the log of the attention mass (the log-sum-exp of the
// scores, or what the feature map makes of it):
enum class Merge {
  kGate,         // a = gate
  kLse,          // a = sigmoid(L_retrieved - L_own): one softmax over both
  kBalancedLse,  // the same with the mass per token, and the gate as prior:
                 // L_retrieved + log(gate / (1 - gate) * n_own / n_retrieved)
};

// By the public names; nothing for an unknown one.
std::optional<FeatureMap> FeatureMapFromName(std::string_view name);
std::optional<Merge> MergeFromName(std::string_view name);
std::string_view FeatureMapName(FeatureMap features);
std::string_view MergeName(Merge merge);
std::vector<std::string_view> FeatureMapNames();
std::vector<std::string_view> MergeNames();

struct RetrievalOptions {
  Visibility visibility = Visibility::kCausal;
  // 0 to 1. 0: nothing is retrieved. See Merge.
  float gate = 0;
  // [layers, heads], each as `gate`; empty: `gate` everywhere.
  std::vector<float> head_gates;
  // The layers that retrieve, ascending; empty: all.
  std::vector<int> layers;

  FeatureMap features = FeatureMap::kElu;
  Merge merge = Merge::kGate;

  // Chunks that one chunk retrieves from besides anchors and neighbours: those
  // with the largest scores, ties to the earlier. 0: all that it sees.
  int top_k = 0;
  // The first chunks of the document, retrieved from whenever they are seen.
  int anchors = 1;
  // Share of the retrieval weight that the anchors get beforehand, 0 to 1.
  float anchor_share = 0;
  // Chunks to either side, retrieved from whenever they are seen.
  int neighbors = 0;
};

}  // namespace longhand

#endif  // LONGHAND_CORE_ATTENTION_RETRIEVAL_OPTIONS_H_
