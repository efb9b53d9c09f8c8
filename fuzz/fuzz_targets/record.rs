//! Records of the ledger: whatever can be parsed survives a round trip.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    rollcall_core::fuzzing::record(bytes);
});
