// Properties of session documents: any sequence of appends, edits, forks and
// looks at the tail leaves what a new encode of the same content gives.

#include <algorithm>
#include <string>
#include <vector>

#include "core/chunking/registry.h"
#include "core/session/session_document.h"
#include "gtest/gtest.h"
#include "rapidcheck.h"
#include "rapidcheck/gtest.h"
#include "tests/core/engine/encode_harness.h"
#include "tests/core/session/document_harness.h"

namespace longhand {
namespace {

using testing::Append;
using testing::EncodeWhole;
using testing::HeadOf;
using testing::MakeDocument;
using testing::NamedOptions;
using testing::OpenEncoder;
using testing::Replace;
using testing::ResultsOf;
using testing::SameResults;
using testing::StreamableOptions;
using testing::TextEncoder;

// Words, sentences, paragraphs, long runs, and now and then something that is
// no word.
rc::Gen<std::string> Text(int max_words) {
  return rc::gen::exec([max_words] {
    std::string text;
    const int words = *rc::gen::inRange(0, max_words);
    for (int i = 0; i < words; ++i) {
      text += *rc::gen::weightedElement<std::string>(
          {{20, " word"},
           {10, " b"},
           {6, " something"},
           {4, ". Next"},
           {2, "\n\nPart "},
           {1, "\n# Head\n\n"},
           {1, " caf\u00e9 \u65e5\u672c\u8a9e "},
           {1, "\r\n\t"},
           {1, std::string(700, 'x')},
           {1, std::string(90, ' ')}});
    }
    return text;
  });
}

// A place in `text` that is not inside a character.
uint64_t Place(const std::string& text) {
  uint64_t at = *rc::gen::inRange<uint64_t>(0, text.size() + 1);
  while (at < text.size() && (text[at] & 0xC0) == 0x80) ++at;
  return at;
}

// A document beside what it must hold.
struct Twin {
  SessionDocument document;
  std::string text;
};

void Step(Twin& twin) {
  switch (*rc::gen::weightedElement<int>({{4, 0}, {3, 1}, {1, 2}, {1, 3}})) {
    case 0: {
      const std::string more = *Text(60);
      Append(twin.document, more);
      twin.text += more;
      break;
    }
    case 1: {
      const uint64_t a = Place(twin.text), b = Place(twin.text);
      const std::string content = *Text(8);
      const uint64_t begin = std::min(a, b), end = std::max(a, b);
      Replace(twin.document, begin, end, content);
      twin.text.replace(begin, end - begin, content);
      break;
    }
    case 2: {  // back to an earlier place
      const uint64_t begin = Place(twin.text);
      Replace(twin.document, begin, UINT64_MAX, std::string());
      twin.text.resize(begin);
      break;
    }
    default:
      ResultsOf(twin.document);
  }
  RC_ASSERT(twin.document.committed_offset() == twin.text.size());
}

RC_GTEST_PROP(SessionDocument, AnyHistoryIsTheContent, ()) {
  const NamedOptions named = *rc::gen::elementOf(StreamableOptions());
  RC_LOG() << named.name;
  const auto encoder = OpenEncoder(TextEncoder(), named.options);
  std::vector<Twin> twins;
  twins.push_back({MakeDocument(encoder), *rc::gen::resize(100, Text(500))});
  Append(twins[0].document, twins[0].text);
  const int steps = *rc::gen::inRange(1, 8);
  for (int i = 0; i < steps; ++i) {
    if (*rc::gen::weightedElement<bool>({{1, true}, {5, false}})) {
      twins.push_back(twins.back());
    }
    Step(twins[*rc::gen::inRange<size_t>(0, twins.size())]);
  }
  for (Twin& twin : twins) {
    RC_ASSERT(
        SameResults(ResultsOf(twin.document),
                    EncodeWhole(TextEncoder(), twin.text, named.options)));
    // What is final depends on the content alone.
    SessionDocument fresh = MakeDocument(encoder);
    Append(fresh, twin.text);
    RC_ASSERT(twin.document.chunks().size() == fresh.chunks().size());
    uint64_t encoded_bytes = 0;
    for (const auto& chunk : twin.document.chunks()) {
      encoded_bytes += chunk->encoded->bytes();
    }
    RC_ASSERT(twin.document.encoded_bytes() == encoded_bytes);
    RC_ASSERT(twin.document.tail() == fresh.tail());
    // And a store takes it.
    auto restored = SessionDocument::Restore(
        encoder, {.max_document_bytes = uint64_t{1} << 30},
        HeadOf(twin.document), twin.document.chunks());
    RC_ASSERT(restored.ok());
  }
}

}  // namespace
}  // namespace longhand
