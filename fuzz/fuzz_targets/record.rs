//! Records of the ledger: what is read is written so that it reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    rollcall_core::fuzzing::record(bytes);
});
