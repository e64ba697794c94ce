#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| threadlab::experiment::fuzz::metrics_text(bytes));
