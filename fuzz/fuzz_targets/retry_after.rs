//! The header `Retry-After`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    rollcall_adapters::fuzzing::retry_after(bytes);
});
