//! The `next` link of a page, accepted only if it is the portal's URL of the following page.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    rollcall_core::fuzzing::next(bytes);
});
