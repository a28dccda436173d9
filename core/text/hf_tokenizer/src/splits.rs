//! Whether a document may be encoded in pieces.
//!
//! The claim: for texts a, b where a ends in a letter, digit or punctuation
//! mark c of the list in `text_stream.cc` and b begins with ASCII white space
//! w, encode(a + b) = encode(a) ++ encode(b), offsets included. It holds if
//! every step of the pipeline has the property; a step that is not listed here
//! has not been argued, and the answer is then no.
//!
//! 1. Added tokens are cut out of the original text, then of the normalized
//!    one, by leftmost-longest search. If none contains white space (normalized
//!    content too), no match spans the cut. `single_word` sees a non-word
//!    character or an end of text there, which it treats alike. `lstrip`
//!    swallows the white space before a token: all of it is in b, because c is
//!    not white space. `rstrip` would swallow w from a match in a: refused.
//! 2. Normalizers work character by character or, the four Unicode forms, on
//!    runs between starters; w is a starter that never composes with what
//!    precedes it and stays white space, so N(a + b) = N(a) ++ N(b). No form of
//!    c, accents stripped or not, ends in white space, except that
//!    BertNormalizer puts a space after CJK ideographs: with it, nothing may
//!    depend on the white space before w, which are `lstrip` tokens that match
//!    normalized text and a byte-level pre-tokenizer.
//! 3. Bert, Whitespace and WhitespaceSplit drop white space and never join
//!    across it. ByteLevel's pattern ends every match at white space that it
//!    does not begin with, and looks ahead only inside a run of white space.
//!    With `add_prefix_space` it would add a space to pieces that begin with
//!    "\n" or "\t": refused. Once a first step has split at w, steps that see
//!    one split at a time, whatever its place, change nothing.
//! 4. The models see one split at a time; BPE with dropout is random: refused.
//! 5. Post-processors add no special tokens here. Those that trim offsets look
//!    at one token at a time, except that `add_prefix_space` singles out the
//!    first: refused.

use tokenizers::{
    AddedVocabulary, ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper,
    PostProcessorWrapper, PreTokenizerWrapper, Tokenizer,
};

pub fn splits_at_whitespace(tokenizer: &Tokenizer) -> bool {
    let normalizer = tokenizer.get_normalizer();
    let pads_ideographs = normalizer.is_some_and(contains_bert);
    normalizer.is_none_or(normalizer_is_local)
        && tokenizer
            .get_pre_tokenizer()
            .is_some_and(|step| splits_before_whitespace(step, pads_ideographs))
        && model_is_local(tokenizer.get_model())
        && tokenizer
            .get_post_processor()
            .is_none_or(post_processor_is_local)
        && added_tokens_are_local(
            tokenizer.get_added_vocabulary(),
            normalizer,
            pads_ideographs,
        )
}

/// Whether `processor` takes leading and trailing white space out of offsets.
pub fn trims_offsets(processor: &PostProcessorWrapper) -> bool {
    match processor {
        PostProcessorWrapper::Roberta(step) => step.trim_offsets,
        PostProcessorWrapper::ByteLevel(step) => step.trim_offsets,
        PostProcessorWrapper::Sequence(steps) => steps.as_ref().iter().any(trims_offsets),
        PostProcessorWrapper::Bert(_) | PostProcessorWrapper::Template(_) => false,
    }
}

fn contains_bert(normalizer: &NormalizerWrapper) -> bool {
    match normalizer {
        NormalizerWrapper::BertNormalizer(_) => true,
        NormalizerWrapper::Sequence(steps) => steps.as_ref().iter().any(contains_bert),
        _ => false,
    }
}

fn normalizer_is_local(normalizer: &NormalizerWrapper) -> bool {
    match normalizer {
        NormalizerWrapper::BertNormalizer(_)
        | NormalizerWrapper::StripAccents(_)
        | NormalizerWrapper::Lowercase(_)
        | NormalizerWrapper::NFC(_)
        | NormalizerWrapper::NFD(_)
        | NormalizerWrapper::NFKC(_)
        | NormalizerWrapper::NFKD(_) => true,
        NormalizerWrapper::Sequence(steps) => steps.as_ref().iter().all(normalizer_is_local),
        _ => false,
    }
}

fn splits_before_whitespace(step: &PreTokenizerWrapper, pads_ideographs: bool) -> bool {
    match step {
        PreTokenizerWrapper::BertPreTokenizer(_)
        | PreTokenizerWrapper::Whitespace(_)
        | PreTokenizerWrapper::WhitespaceSplit(_) => true,
        PreTokenizerWrapper::ByteLevel(step) => {
            step.use_regex && !step.add_prefix_space && !pads_ideographs
        }
        PreTokenizerWrapper::Sequence(steps) => {
            steps.as_ref().split_first().is_some_and(|(first, rest)| {
                splits_before_whitespace(first, pads_ideographs) && rest.iter().all(sees_one_split)
            })
        }
        _ => false,
    }
}

fn sees_one_split(step: &PreTokenizerWrapper) -> bool {
    match step {
        PreTokenizerWrapper::BertPreTokenizer(_)
        | PreTokenizerWrapper::Whitespace(_)
        | PreTokenizerWrapper::WhitespaceSplit(_)
        | PreTokenizerWrapper::Punctuation(_)
        | PreTokenizerWrapper::Digits(_)
        | PreTokenizerWrapper::ByteLevel(_) => true,
        PreTokenizerWrapper::Sequence(steps) => steps.as_ref().iter().all(sees_one_split),
        _ => false,
    }
}

fn model_is_local(model: &ModelWrapper) -> bool {
    match model {
        ModelWrapper::WordPiece(_) | ModelWrapper::WordLevel(_) => true,
        ModelWrapper::BPE(bpe) => bpe.dropout.is_none_or(|share| share == 0.0),
        _ => false,
    }
}

fn post_processor_is_local(processor: &PostProcessorWrapper) -> bool {
    match processor {
        PostProcessorWrapper::Bert(_) | PostProcessorWrapper::Template(_) => true,
        PostProcessorWrapper::Roberta(step) => !(step.trim_offsets && step.add_prefix_space),
        PostProcessorWrapper::ByteLevel(step) => !(step.trim_offsets && step.add_prefix_space),
        PostProcessorWrapper::Sequence(steps) => steps.as_ref().iter().all(post_processor_is_local),
    }
}

fn added_tokens_are_local(
    added: &AddedVocabulary,
    normalizer: Option<&NormalizerWrapper>,
    pads_ideographs: bool,
) -> bool {
    let by_content = added.get_vocab();
    let by_id = added.get_added_tokens_decoder();
    // Two contents with one id would share the flags of one of them.
    by_content.len() == by_id.len()
        && by_content
            .keys()
            .all(|content| is_one_word(content) && normalized_is_one_word(content, normalizer))
        && by_id
            .values()
            .all(|token| !token.rstrip && !(token.lstrip && token.normalized && pads_ideographs))
}

fn normalized_is_one_word(content: &str, normalizer: Option<&NormalizerWrapper>) -> bool {
    let mut normalized = NormalizedString::from(content);
    normalizer.is_none_or(|n| n.normalize(&mut normalized).is_ok()) && is_one_word(normalized.get())
}

fn is_one_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_whitespace)
}
