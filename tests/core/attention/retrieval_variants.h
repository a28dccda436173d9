// The option sets over which the retrieval tests loop: every feature map, every
// merge, every way to choose chunks. A value; constant.
#ifndef LONGHAND_TESTS_CORE_ATTENTION_RETRIEVAL_VARIANTS_H_
#define LONGHAND_TESTS_CORE_ATTENTION_RETRIEVAL_VARIANTS_H_

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/attention/retrieval_options.h"
#include "core/base/strings.h"

namespace longhand::testing {

struct RetrievalVariant {
  std::string name;
  RetrievalOptions options;
};

// For every visibility given by the caller.
inline std::vector<RetrievalVariant> RetrievalVariants(Visibility visibility) {
  std::vector<RetrievalVariant> variants;
  RetrievalOptions base;
  base.visibility = visibility;
  base.gate = 0.4f;
  for (std::string_view features : FeatureMapNames()) {
    for (std::string_view merge : MergeNames()) {
      RetrievalVariant variant{
          absl::StrCat(ToAbsl(features), "_", ToAbsl(merge)), base};
      variant.options.features = *FeatureMapFromName(features);
      variant.options.merge = *MergeFromName(merge);
      variants.push_back(variant);
    }
  }
  RetrievalVariant top_k{"top_k", base};
  top_k.options.top_k = 2;
  top_k.options.anchors = 0;
  variants.push_back(top_k);
  RetrievalVariant pinned{"top_k_anchors_neighbors", base};
  pinned.options.top_k = 1;
  pinned.options.anchors = 2;
  pinned.options.neighbors = 1;
  pinned.options.merge = Merge::kBalancedLse;
  variants.push_back(pinned);
  RetrievalVariant share{"anchor_share", base};
  share.options.anchor_share = 0.5f;
  variants.push_back(share);
  return variants;
}

}  // namespace longhand::testing

#endif  // LONGHAND_TESTS_CORE_ATTENTION_RETRIEVAL_VARIANTS_H_
