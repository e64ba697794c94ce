#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| threadlab::watch::fuzz::homes(bytes));
