// The sentence-transformers files of a model directory: modules.json and the
// pooling module's config.json. Reading only; safe from any thread.
#ifndef LONGHAND_CORE_MODEL_SENTENCE_CONFIG_H_
#define LONGHAND_CORE_MODEL_SENTENCE_CONFIG_H_

#include <string>

#include "absl/status/statusor.h"

namespace longhand {

struct SentenceConfig {
  std::string pooling = "mean";  // a name from poolers.def
  bool normalize = false;        // scale vectors to L2 norm 1
};

// What `directory` asks for. A directory without modules.json gives the
// defaults, which are those of sentence-transformers. UNIMPLEMENTED
// (MODEL_UNSUPPORTED) for modules and poolings that are not computed here;
// INVALID_ARGUMENT (CONFIG_INVALID) for files that make no sense.
absl::StatusOr<SentenceConfig> ReadSentenceConfig(const std::string& directory);

}  // namespace longhand

#endif  // LONGHAND_CORE_MODEL_SENTENCE_CONFIG_H_
