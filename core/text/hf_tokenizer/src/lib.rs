//! The C ABI of hf_tokenizer.h, which states the contract of every function.
//! Pointers are trusted: the one caller is core/text/tokenizer.cc.

mod engine;
mod splits;

use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use engine::{Engine, Error};

const OK: i32 = 0;
const INVALID_FILE: i32 = 1;
const INVALID_UTF8: i32 = 2;
const INTERNAL: i32 = 3;

#[repr(C)]
pub struct LhText {
    data: *mut u8,
    size: usize,
}

#[repr(C)]
pub struct LhToken {
    id: u32,
    begin: u64,
    end: u64,
}

#[repr(C)]
pub struct LhEncoding {
    tokens: *mut LhToken,
    size: usize,
}

#[repr(C)]
pub struct LhFacts {
    vocab_size: u32,
    prefix_ids: *const u32,
    prefix_size: usize,
    suffix_ids: *const u32,
    suffix_size: usize,
    splits_at_whitespace: u8,
}

struct Failure {
    code: i32,
    message: String,
}

/// Hands `values` to C; `take` is the way back.
fn give<T>(values: Vec<T>) -> (*mut T, usize) {
    let size = values.len();
    if size == 0 {
        return (std::ptr::null_mut(), 0);
    }
    (Box::into_raw(values.into_boxed_slice()).cast(), size)
}

/// # Safety
/// The arguments came from `give` and are taken back once.
unsafe fn take<T>(data: *mut T, size: usize) {
    if !data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(
            data, size,
        )));
    }
}

fn text_of(text: String) -> LhText {
    let (data, size) = give(text.into_bytes());
    LhText { data, size }
}

/// # Safety
/// `data` points at `size` bytes unless `size` is 0.
unsafe fn bytes_at<'a>(data: *const u8, size: usize) -> &'a [u8] {
    if size == 0 {
        &[]
    } else {
        std::slice::from_raw_parts(data, size)
    }
}

/// Runs `work`; an error's or panic's code is returned, its sentence goes to
/// `error`.
unsafe fn guarded(error: *mut LhText, work: impl FnOnce() -> Result<(), Failure>) -> i32 {
    let (code, message) = match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => (OK, String::new()),
        Ok(Err(failure)) => (failure.code, failure.message),
        Err(_) => (INTERNAL, "the tokenizers library panicked".to_owned()),
    };
    error.write(text_of(message));
    code
}

/// A panic's message can quote the document, and the default hook would print
/// it: documents must not reach the log.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| panic::set_hook(Box::new(|_| {})));
}

/// # Safety
/// See hf_tokenizer.h; so for every function below.
#[no_mangle]
pub unsafe extern "C" fn lh_tokenizer_new(
    json: *const u8,
    size: usize,
    tokenizer: *mut *mut Engine,
    error: *mut LhText,
) -> i32 {
    silence_panics();
    tokenizer.write(std::ptr::null_mut());
    guarded(error, || {
        let engine = Engine::from_json(bytes_at(json, size)).map_err(|e: Error| Failure {
            code: INVALID_FILE,
            message: e.to_string(),
        })?;
        tokenizer.write(Box::into_raw(Box::new(engine)));
        Ok(())
    })
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn lh_tokenizer_free(tokenizer: *mut Engine) {
    if !tokenizer.is_null() {
        drop(Box::from_raw(tokenizer));
    }
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn lh_tokenizer_describe(tokenizer: *const Engine, facts: *mut LhFacts) {
    let engine = &*tokenizer;
    facts.write(LhFacts {
        vocab_size: engine.vocab_size,
        prefix_ids: engine.prefix_ids.as_ptr(),
        prefix_size: engine.prefix_ids.len(),
        suffix_ids: engine.suffix_ids.as_ptr(),
        suffix_size: engine.suffix_ids.len(),
        splits_at_whitespace: engine.splits_at_whitespace.into(),
    });
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn lh_tokenizer_encode(
    tokenizer: *const Engine,
    text: *const u8,
    size: usize,
    encoding: *mut LhEncoding,
    invalid_at: *mut u64,
    error: *mut LhText,
) -> i32 {
    encoding.write(LhEncoding {
        tokens: std::ptr::null_mut(),
        size: 0,
    });
    invalid_at.write(0);
    guarded(error, || {
        let text = std::str::from_utf8(bytes_at(text, size)).map_err(|e| {
            invalid_at.write(e.valid_up_to() as u64);
            Failure {
                code: INVALID_UTF8,
                message: "the text is not UTF-8".to_owned(),
            }
        })?;
        let tokens = (*tokenizer).encode(text).map_err(|e: Error| Failure {
            code: INTERNAL,
            message: e.to_string(),
        })?;
        let tokens: Vec<LhToken> = tokens
            .into_iter()
            .map(|(id, begin, end)| LhToken {
                id,
                begin: begin as u64,
                end: end as u64,
            })
            .collect();
        let (tokens, size) = give(tokens);
        encoding.write(LhEncoding { tokens, size });
        Ok(())
    })
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn lh_tokenizer_id_to_token(
    tokenizer: *const Engine,
    id: u32,
    token: *mut LhText,
) {
    let content = panic::catch_unwind(AssertUnwindSafe(|| (*tokenizer).id_to_token(id)));
    token.write(text_of(content.ok().flatten().unwrap_or_default()));
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn lh_text_free(text: LhText) {
    take(text.data, text.size);
}

/// # Safety
/// See above.
#[no_mangle]
pub unsafe extern "C" fn lh_encoding_free(encoding: LhEncoding) {
    take(encoding.tokens, encoding.size);
}
