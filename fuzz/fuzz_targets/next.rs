//! A page's `next`: accepted only where it is the page that is due, at the portal.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    rollcall_core::fuzzing::next(bytes);
});
