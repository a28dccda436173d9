#include "bench/quality/queries.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bench/quality/random.h"
#include "core/base/check.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/base/strings.h"

namespace longhand::quality {
namespace {

// As in the published experiment: 126 tokens and [CLS], [SEP] make 128 rows;
// words have five letters and occur in 6 of 150 documents (4 %).
constexpr int kWindowTokens = 126;
constexpr size_t kMinLetters = 5;
constexpr double kMinDocumentShare = 0.04;
constexpr int kTitleWords = 3;
constexpr int kBareWords = 5;
constexpr int kHeadingWords = 3;
constexpr int kPagesPerDocument = 6;
// Manuals have few chunks far below a heading: up to three queries for each,
// with different words.
constexpr int kQueriesPerWindow = 3;
constexpr int kSentencesPerDocument = 6;
constexpr int kMinSentenceWords = 10;
constexpr int kMaxSentenceWords = 40;

constexpr std::array<Task, 4> kTasks = {{{"title", "pages", false},
                                         {"heading", "manuals", false},
                                         {"bare", "pages", false},
                                         {"in_document", "pages", true}}};

// One document and what its queries are made from.
struct Source {
  const CorpusDocument* document = nullptr;
  Half half = Half::kDev;
  std::vector<ByteRange> windows;
  std::vector<Word> words;                      // of kMinLetters, in order
  std::vector<std::vector<std::string>> found;  // by window: sorted, distinct
  std::map<std::string, int> windows_with;      // by word
};

// Document frequencies and headings of one collection.
struct Collection {
  std::vector<Source> sources;
  std::map<std::string, int> documents_with;          // by word
  std::map<std::string, int> documents_with_heading;  // by heading
};

Random DocumentRandom(std::string_view task, std::string_view id) {
  Sha256 hash;
  hash.UpdateField(task);
  hash.UpdateField(id);
  const std::array<uint8_t, 32> digest = hash.Digest();
  uint64_t seed = 0;
  for (int i = 0; i < 8; ++i) seed = seed << 8 | digest[i];
  return Random(seed);
}

bool Touches(const ByteRange& a, const ByteRange& b) {
  return a.begin < b.end && b.begin < a.end;
}
bool Holds(const ByteRange& outer, const ByteRange& inner) {
  return outer.begin <= inner.begin && inner.end <= outer.end;
}

void FindWindowWords(Source* source) {
  source->words = FindWords(source->document->text, kMinLetters);
  for (const ByteRange& window : source->windows) {
    std::set<std::string> whole, touching;
    for (const Word& word : source->words) {
      if (!Touches(window, word.range)) continue;
      touching.insert(word.text);
      if (Holds(window, word.range)) whole.insert(word.text);
    }
    source->found.emplace_back(whole.begin(), whole.end());
    for (const std::string& word : touching) ++source->windows_with[word];
  }
}

absl::StatusOr<Collection> MakeCollection(const Corpus& corpus,
                                          const Tokenizer& tokenizer,
                                          std::string_view name) {
  const std::vector<Half> halves = SplitCorpus(corpus);
  Collection collection;
  for (size_t i = 0; i < corpus.documents.size(); ++i) {
    const CorpusDocument& document = corpus.documents[i];
    if (document.collection != name) continue;
    Source source{.document = &document, .half = halves[i]};
    TokenSequence tokens;
    LH_RETURN_IF_ERROR(tokenizer.Encode(document.text, 0, &tokens));
    source.windows = ReferenceWindows(tokens, kWindowTokens);
    FindWindowWords(&source);
    for (const auto& [word, count] : source.windows_with) {
      ++collection.documents_with[word];
    }
    std::set<std::string> headings;
    for (const Section& section : document.sections) {
      headings.insert(section.heading);
    }
    for (const std::string& heading : headings) {
      ++collection.documents_with_heading[heading];
    }
    collection.sources.push_back(std::move(source));
  }
  return collection;
}

// The words of window `index` that no other window of the document has and that
// are common enough in the collection; shuffled.
std::vector<std::string> DistinctiveWords(const Collection& collection,
                                          const Source& source, size_t index,
                                          Random* random) {
  const double least = kMinDocumentShare * collection.sources.size();
  std::vector<std::string> words;
  for (const std::string& word : source.found[index]) {
    if (source.windows_with.at(word) == 1 &&
        collection.documents_with.at(word) >= least) {
      words.push_back(word);
    }
  }
  random->Shuffle(&words);
  return words;
}

// The places of `texts` inside `range`.
std::vector<Word> PlacesOf(const Source& source, const ByteRange& range,
                           absl::Span<const std::string> texts) {
  std::vector<Word> places;
  for (const Word& word : source.words) {
    if (Holds(range, word.range) &&
        std::find(texts.begin(), texts.end(), word.text) != texts.end()) {
      places.push_back(word);
    }
  }
  return places;
}

Query MakeQuery(std::string_view task, const Source& source, std::string text,
                ByteRange gold) {
  return {std::string(task), source.document->id, source.half, std::move(text),
          gold};
}

// Tasks title and bare: the same windows, with and without the topic.
void AddPageQueries(const Collection& collection, const Source& source,
                    std::vector<Query>* title, std::vector<Query>* bare) {
  Random random = DocumentRandom("title", source.document->id);
  std::vector<size_t> order;
  for (size_t i = 1; i + 1 < source.windows.size(); ++i) order.push_back(i);
  random.Shuffle(&order);
  int made = 0;
  for (const size_t i : order) {
    if (made == kPagesPerDocument) break;
    std::vector<std::string> words =
        DistinctiveWords(collection, source, i, &random);
    if (words.size() < kTitleWords) continue;
    ++made;
    words.resize(std::min<size_t>(words.size(), kBareWords));
    const absl::Span<const std::string> first(words.data(), kTitleWords);
    title->push_back(MakeQuery(
        "title", source,
        absl::StrCat(source.document->topic, ": ", absl::StrJoin(first, " ")),
        ShortestCover(PlacesOf(source, source.windows[i], first))));
    bare->push_back(
        MakeQuery("bare", source, absl::StrJoin(words, " "),
                  ShortestCover(PlacesOf(source, source.windows[i], words))));
  }
}

// The section whose body holds the middle of `window`, or null.
const Section* SectionOf(const Source& source, const ByteRange& window,
                         ByteRange* body) {
  const std::vector<Section>& sections = source.document->sections;
  const uint64_t middle = (window.begin + window.end) / 2;
  for (size_t i = 0; i < sections.size(); ++i) {
    const uint64_t end = i + 1 < sections.size() ? sections[i + 1].begin
                                                 : source.document->text.size();
    if (sections[i].body <= middle && middle < end) {
      *body = {sections[i].body, end};
      return &sections[i];
    }
  }
  return nullptr;
}

// Whether `heading` can only be known from the text above window `index`.
bool IsContext(const Collection& collection, const Source& source, size_t index,
               const Section& section) {
  const ByteRange& window = source.windows[index];
  const std::vector<std::string> stems = HeadingStems(section.heading);
  const std::string_view text = source.document->text;
  return !stems.empty() &&
         collection.documents_with_heading.at(section.heading) == 1 &&
         // In an earlier window, and not in the first.
         section.body <= window.begin &&
         section.begin >= source.windows[0].end &&
         !HasStem(text.substr(window.begin, window.size()), stems);
}

// Task heading.
void AddManualQueries(const Collection& collection, const Source& source,
                      std::vector<Query>* out) {
  Random random = DocumentRandom("heading", source.document->id);
  for (size_t i = 1; i < source.windows.size(); ++i) {
    ByteRange body;
    const Section* section = SectionOf(source, source.windows[i], &body);
    if (section == nullptr || !IsContext(collection, source, i, *section)) {
      continue;
    }
    const ByteRange range = {source.windows[i].begin,
                             std::min(source.windows[i].end, body.end)};
    std::vector<std::string> words =
        DistinctiveWords(collection, source, i, &random);
    std::erase_if(words, [&](const std::string& word) {
      return PlacesOf(source, range, {&word, 1}).empty();
    });
    const size_t most = kQueriesPerWindow * kHeadingWords;
    for (size_t at = 0; at + kHeadingWords <= std::min(words.size(), most);
         at += kHeadingWords) {
      const absl::Span<const std::string> three(&words[at], kHeadingWords);
      out->push_back(MakeQuery(
          "heading", source,
          absl::StrCat(section->heading, ": ", absl::StrJoin(three, " ")),
          ShortestCover(PlacesOf(source, range, three))));
    }
  }
}

// Half of a sentence's words, in order.
std::string DropHalf(std::string_view sentence, Random* random) {
  const std::vector<std::string> words = SplitAtWhitespace(sentence);
  std::vector<size_t> order(words.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  random->Shuffle(&order);
  order.resize((words.size() + 1) / 2);
  std::sort(order.begin(), order.end());
  std::vector<std::string> kept;
  for (const size_t i : order) kept.push_back(words[i]);
  return absl::StrJoin(kept, " ");
}

// Task in_document.
void AddSentenceQueries(const Source& source, std::vector<Query>* out) {
  Random random = DocumentRandom("in_document", source.document->id);
  const std::string_view text = source.document->text;
  std::vector<ByteRange> sentences =
      FindSentences(text, kMinSentenceWords, kMaxSentenceWords);
  random.Shuffle(&sentences);
  int made = 0;
  for (const ByteRange& sentence : sentences) {
    if (made == kSentencesPerDocument) break;
    const std::string_view words = text.substr(sentence.begin, sentence.size());
    const bool repeated =
        text.find(words, text.find(words) + 1) != std::string_view::npos;
    if (repeated) continue;
    ++made;
    out->push_back(
        MakeQuery("in_document", source, DropHalf(words, &random), sentence));
  }
}

}  // namespace

absl::Span<const Task> Tasks() { return kTasks; }

std::vector<ByteRange> ReferenceWindows(const TokenSequence& tokens,
                                        int tokens_per_window) {
  std::vector<ByteRange> windows;
  for (size_t i = 0; i < tokens.size(); i += tokens_per_window) {
    const size_t last = std::min(tokens.size(), i + tokens_per_window) - 1;
    windows.push_back({tokens.begin[i], tokens.end[last]});
  }
  return windows;
}

ByteRange ShortestCover(absl::Span<const Word> words) {
  LH_CHECK(!words.empty());
  std::set<std::string> texts;
  for (const Word& word : words) texts.insert(word.text);
  ByteRange best = {words.front().range.begin, words.back().range.end};
  std::map<std::string, int> inside;
  size_t first = 0;
  for (const Word& last : words) {
    ++inside[last.text];
    while (inside.size() == texts.size()) {
      const ByteRange range = {words[first].range.begin, last.range.end};
      if (range.size() < best.size()) best = range;
      const auto entry = inside.find(words[first++].text);
      if (--entry->second == 0) inside.erase(entry);
    }
  }
  return best;
}

absl::StatusOr<std::vector<Query>> MakeQueries(const Corpus& corpus,
                                               const Tokenizer& tokenizer) {
  LH_ASSIGN_OR_RETURN(const Collection pages,
                      MakeCollection(corpus, tokenizer, "pages"));
  LH_ASSIGN_OR_RETURN(const Collection manuals,
                      MakeCollection(corpus, tokenizer, "manuals"));
  std::vector<Query> title, bare, heading, in_document;
  for (const Source& source : pages.sources) {
    AddPageQueries(pages, source, &title, &bare);
    AddSentenceQueries(source, &in_document);
  }
  for (const Source& source : manuals.sources) {
    AddManualQueries(manuals, source, &heading);
  }
  std::vector<Query> queries;
  for (std::vector<Query>* task : {&title, &heading, &bare, &in_document}) {
    queries.insert(queries.end(), std::make_move_iterator(task->begin()),
                   std::make_move_iterator(task->end()));
  }
  return queries;
}

}  // namespace longhand::quality
