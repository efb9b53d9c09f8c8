//! The scanner compared with serde: both return the same page, or both reject it.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|body: &[u8]| {
    rollcall_core::fuzzing::scanner(body);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    rollcall_fuzz::mutate_page(data, size, max_size, seed)
});
