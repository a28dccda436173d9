#include "core/chunking/break_finder.h"

#include <unicode/ubrk.h>
#include <unicode/utext.h>
#include <unicode/utypes.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace longhand {
namespace {

using Iterator = std::unique_ptr<UBreakIterator, decltype(&ubrk_close)>;

absl::StatusOr<Iterator> Open(UBreakIteratorType type) {
  UErrorCode code = U_ZERO_ERROR;
  Iterator iterator(ubrk_open(type, "", nullptr, 0, &code), &ubrk_close);
  if (U_FAILURE(code) || iterator == nullptr) {
    return MakeError(
        absl::StatusCode::kInternal, "ICU_DATA",
        absl::StrCat("ICU's rules for text boundaries can't be loaded (",
                     u_errorName(code), "); install ICU with its data"));
  }
  return iterator;
}

Iterator CloneOf(const Iterator& iterator) {
  UErrorCode code = U_ZERO_ERROR;
  Iterator clone(ubrk_clone(iterator.get(), &code), &ubrk_close);
  LH_CHECK(U_SUCCESS(code) && clone != nullptr);  // fails only without memory
  return clone;
}

// Lets `iterators` walk over one text. They must not be used afterwards.
class OpenText {
 public:
  explicit OpenText(std::string_view text) {
    UErrorCode code = U_ZERO_ERROR;
    utext_openUTF8(&text_, text.data(), int64_t(text.size()), &code);
    LH_CHECK(U_SUCCESS(code));  // fails only without memory
  }
  ~OpenText() { utext_close(&text_); }
  OpenText(const OpenText&) = delete;
  OpenText& operator=(const OpenText&) = delete;

  void Give(const Iterator& iterator) {
    UErrorCode code = U_ZERO_ERROR;
    ubrk_setUText(iterator.get(), &text_, &code);
    LH_CHECK(U_SUCCESS(code));
  }

 private:
  UText text_ = UTEXT_INITIALIZER;
};

}  // namespace

struct BreakFinder::Iterators {
  Iterator sentence;
  Iterator word;
  Iterator line;
};

absl::StatusOr<std::unique_ptr<BreakFinder>> BreakFinder::Create() {
  LH_ASSIGN_OR_RETURN(Iterator sentence, Open(UBRK_SENTENCE));
  LH_ASSIGN_OR_RETURN(Iterator word, Open(UBRK_WORD));
  LH_ASSIGN_OR_RETURN(Iterator line, Open(UBRK_LINE));
  auto iterators = std::unique_ptr<Iterators>(
      new Iterators{std::move(sentence), std::move(word), std::move(line)});
  return std::unique_ptr<BreakFinder>(new BreakFinder(std::move(iterators)));
}

std::unique_ptr<BreakFinder> BreakFinder::Clone() const {
  auto iterators = std::unique_ptr<Iterators>(
      new Iterators{CloneOf(iterators_->sentence), CloneOf(iterators_->word),
                    CloneOf(iterators_->line)});
  return std::unique_ptr<BreakFinder>(new BreakFinder(std::move(iterators)));
}

BreakFinder::BreakFinder(std::unique_ptr<Iterators> iterators)
    : iterators_(std::move(iterators)) {}

BreakFinder::~BreakFinder() = default;

const std::vector<int32_t>& BreakFinder::Sentences(std::string_view text) {
  result_.clear();
  OpenText opened(text);
  opened.Give(iterators_->sentence);
  UBreakIterator* sentence = iterators_->sentence.get();
  for (int32_t at = ubrk_next(sentence); at != UBRK_DONE;
       at = ubrk_next(sentence)) {
    if (size_t(at) < text.size()) result_.push_back(at);
  }
  return result_;
}

const std::vector<int32_t>& BreakFinder::Words(std::string_view text) {
  result_.clear();
  OpenText opened(text);
  opened.Give(iterators_->word);
  opened.Give(iterators_->line);
  UBreakIterator* word = iterators_->word.get();
  UBreakIterator* line = iterators_->line.get();
  int32_t word_at = ubrk_next(word);
  int32_t line_at = ubrk_next(line);
  while (word_at != UBRK_DONE && line_at != UBRK_DONE) {
    if (word_at == line_at && size_t(word_at) < text.size()) {
      result_.push_back(word_at);
    }
    const int32_t reached = word_at < line_at ? word_at : line_at;
    if (word_at == reached) word_at = ubrk_next(word);
    if (line_at == reached) line_at = ubrk_next(line);
  }
  return result_;
}

}  // namespace longhand
