//! The driver that looks for inputs which reach new code: libFuzzer, on the target that `WIBER_FUZZ_TARGET` names.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wiber_fuzz::{TARGETS, Target};

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("WIBER_FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.iter().find(|target| target.name == name);
    target.unwrap_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        panic!(
            "WIBER_FUZZ_TARGET must be one of {}, and is {name:?}",
            names.join(", ")
        )
    })
});

fuzz_target!(|input: &[u8]| {
    (TARGET.run)(input);
});
