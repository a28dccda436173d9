/* The C ABI of the Rust crate in this folder: a tokenizer.json as the crate
 * `tokenizers` reads it. Only core/text/tokenizer.cc includes it.
 *
 * Threads: an lh_tokenizer is constant after lh_tokenizer_new; any number of
 * threads may use it until lh_tokenizer_free.
 * Memory: what a function returns through an lh_text or lh_encoding belongs to
 * the caller, who gives it back once to the matching _free. Outputs are written
 * on every return: those that do not apply are empty.
 * Errors: no function unwinds into its caller; a Rust panic is an
 * LH_TOKENIZER_INTERNAL. The exception is memory that cannot be allocated:
 * Rust then ends the process.
 */
#ifndef LONGHAND_CORE_TEXT_HF_TOKENIZER_HF_TOKENIZER_H_
#define LONGHAND_CORE_TEXT_HF_TOKENIZER_HF_TOKENIZER_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lh_tokenizer lh_tokenizer;

enum {
  LH_TOKENIZER_OK = 0,
  LH_TOKENIZER_INVALID_FILE = 1, /* not a tokenizer.json that can be used */
  LH_TOKENIZER_INVALID_UTF8 = 2, /* the text is not UTF-8 */
  LH_TOKENIZER_INTERNAL = 3      /* the crate failed or panicked */
};

/* UTF-8 without a terminating NUL; data may be NULL if size is 0. */
typedef struct lh_text {
  uint8_t* data;
  size_t size;
} lh_text;

typedef struct lh_token {
  uint32_t id;
  uint64_t begin; /* first byte in the text given to encode */
  uint64_t end;   /* one past the last byte */
} lh_token;

typedef struct lh_encoding {
  lh_token* tokens;
  size_t size;
} lh_encoding;

/* Constants of one tokenizer; the arrays live as long as it does. */
typedef struct lh_tokenizer_facts {
  uint32_t vocab_size; /* highest id, added tokens included, plus 1 */
  const uint32_t* prefix_ids;
  size_t prefix_size;
  const uint32_t* suffix_ids;
  size_t suffix_size;
  uint8_t splits_at_whitespace; /* 1 if so; src/splits.rs has the argument */
} lh_tokenizer_facts;

/* Reads the tokenizer.json of `size` bytes at `json`; truncation and padding
 * in it are ignored. OK with *tokenizer, else INVALID_FILE or INTERNAL with a
 * sentence in *error. */
int32_t lh_tokenizer_new(const uint8_t* json, size_t size,
                         lh_tokenizer** tokenizer, lh_text* error);

/* NULL is allowed. */
void lh_tokenizer_free(lh_tokenizer* tokenizer);

void lh_tokenizer_describe(const lh_tokenizer* tokenizer,
                           lh_tokenizer_facts* facts);

/* The tokens of `size` bytes of UTF-8 at `text`, without special tokens.
 * OK with *encoding, else INVALID_UTF8 (then *invalid_at is the first byte that
 * is not part of a whole character) or INTERNAL, with a sentence in *error that
 * never quotes the text. */
int32_t lh_tokenizer_encode(const lh_tokenizer* tokenizer, const uint8_t* text,
                            size_t size, lh_encoding* encoding,
                            uint64_t* invalid_at, lh_text* error);

/* The vocabulary entry of `id`, empty if there is none. */
void lh_tokenizer_id_to_token(const lh_tokenizer* tokenizer, uint32_t id,
                              lh_text* token);

void lh_text_free(lh_text text);
void lh_encoding_free(lh_encoding encoding);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* LONGHAND_CORE_TEXT_HF_TOKENIZER_HF_TOKENIZER_H_ */
