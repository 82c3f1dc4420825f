#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| quiescent_fuzz::import(data));
