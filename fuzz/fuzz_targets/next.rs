//! The `next` link of a page: accepted only if it is the following page, at the portal.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    rollcall_core::fuzzing::next(bytes);
});
