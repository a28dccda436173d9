//! The tokenizer itself, in Rust terms: lib.rs wraps it for C.

use tokenizers::{Encoding, Model, ModelWrapper, PostProcessor, PostProcessorWrapper, Tokenizer};

use crate::splits;

pub type Error = Box<dyn std::error::Error + Send + Sync>;

pub struct Engine {
    /// Without truncation, padding and post-processor.
    tokenizer: Tokenizer,
    /// The file's post-processor, kept only if it changes offsets.
    trimmer: Option<PostProcessorWrapper>,
    pub prefix_ids: Vec<u32>,
    pub suffix_ids: Vec<u32>,
    pub vocab_size: u32,
    pub splits_at_whitespace: bool,
}

/// (id, first byte, one past the last byte)
pub type PlacedToken = (u32, usize, usize);

impl Engine {
    pub fn from_json(json: &[u8]) -> Result<Engine, Error> {
        let mut tokenizer = Tokenizer::from_bytes(json)?;
        check_unknown_token(tokenizer.get_model())?;
        let splits_at_whitespace = splits::splits_at_whitespace(&tokenizer);
        let processor = tokenizer.get_post_processor().cloned();
        let (prefix_ids, suffix_ids) = match &processor {
            Some(processor) => special_tokens(processor)?,
            None => (vec![], vec![]),
        };
        let max_id = tokenizer
            .get_vocab(true)
            .into_values()
            .chain(prefix_ids.iter().copied())
            .chain(suffix_ids.iter().copied())
            .max()
            .ok_or("the vocabulary is empty")?;
        if max_id >= i32::MAX as u32 {
            return Err(format!("token id {max_id} does not fit 31 bits").into());
        }
        tokenizer.with_truncation(None)?;
        tokenizer.with_padding(None);
        tokenizer.with_post_processor(None::<PostProcessorWrapper>);
        Ok(Engine {
            tokenizer,
            trimmer: processor.filter(splits::trims_offsets),
            prefix_ids,
            suffix_ids,
            vocab_size: max_id + 1,
            splits_at_whitespace,
        })
    }

    pub fn encode(&self, text: &str) -> Result<Vec<PlacedToken>, Error> {
        let encoding = self.tokenizer.encode(text, false)?;
        match &self.trimmer {
            Some(trimmer) if text.is_ascii() => {
                Ok(placed(&trimmer.process(encoding, None, false)?))
            }
            Some(trimmer) => trim_by_characters(trimmer, text, encoding),
            None => Ok(placed(&encoding)),
        }
    }

    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.tokenizer.id_to_token(id)
    }
}

/// These models fail on the first unknown word if they lack a token for it.
fn check_unknown_token(model: &ModelWrapper) -> Result<(), Error> {
    let unknown = match model {
        ModelWrapper::WordPiece(model) => &model.unk_token,
        ModelWrapper::WordLevel(model) => &model.unk_token,
        _ => return Ok(()),
    };
    match model.token_to_id(unknown) {
        Some(_) => Ok(()),
        None => Err(format!("the unknown token {unknown:?} is not in the vocabulary").into()),
    }
}

/// What `processor` puts before and after a sequence, learnt from one of a
/// single token.
fn special_tokens(processor: &PostProcessorWrapper) -> Result<(Vec<u32>, Vec<u32>), Error> {
    let probe = || encoding_of(vec![0], vec!["x".to_owned()], vec![(0, 1)]);
    if processor.process(probe(), None, false)?.len() != 1 {
        return Err("the post-processor does not keep a sequence as it is".into());
    }
    let framed = processor.process(probe(), None, true)?;
    let mask = framed.get_special_tokens_mask();
    let ids = framed.get_ids();
    match mask.iter().position(|&special| special == 0) {
        Some(at) if mask[at + 1..].iter().all(|&special| special != 0) => {
            Ok((ids[..at].to_vec(), ids[at + 1..].to_vec()))
        }
        _ => Err("the post-processor does not put special tokens around one sequence".into()),
    }
}

/// Trimming subtracts a number of characters, so outside ASCII it is right only
/// for character offsets. (`encode_char_offsets` would give these, but through
/// a hash map with an entry for every byte of the text.)
fn trim_by_characters(
    trimmer: &PostProcessorWrapper,
    text: &str,
    encoding: Encoding,
) -> Result<Vec<PlacedToken>, Error> {
    let mut char_of_byte = Vec::with_capacity(text.len() + 1);
    let mut byte_of_char = Vec::with_capacity(text.len() + 1);
    for (at, c) in text.char_indices() {
        char_of_byte.extend(std::iter::repeat_n(byte_of_char.len(), c.len_utf8()));
        byte_of_char.push(at);
    }
    char_of_byte.push(byte_of_char.len());
    byte_of_char.push(text.len());

    let offsets = encoding
        .get_offsets()
        .iter()
        .map(|&(begin, end)| (char_of_byte[begin], char_of_byte[end]))
        .collect();
    let by_characters = encoding_of(
        encoding.get_ids().to_vec(),
        encoding.get_tokens().to_vec(),
        offsets,
    );
    let trimmed = trimmer.process(by_characters, None, false)?;
    Ok(placed(&trimmed)
        .into_iter()
        .map(|(id, begin, end)| (id, byte_of_char[begin], byte_of_char[end]))
        .collect())
}

fn encoding_of(ids: Vec<u32>, tokens: Vec<String>, offsets: Vec<(usize, usize)>) -> Encoding {
    let size = ids.len();
    Encoding::new(
        ids,
        vec![0; size],
        tokens,
        vec![None; size],
        offsets,
        vec![0; size],
        vec![1; size],
        vec![],
        Default::default(),
    )
}

fn placed(encoding: &Encoding) -> Vec<PlacedToken> {
    std::iter::zip(encoding.get_ids(), encoding.get_offsets())
        .map(|(&id, &(begin, end))| (id, begin, end))
        .collect()
}
