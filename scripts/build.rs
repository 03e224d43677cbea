//! Build script: tells the linked binary where its TensorFlow Lite library lies.
//!
//! Looked for in this order: beside the binary, in `../lib/latchkey` (as packages install it),
//! and in the checkout's `.cache` (where `scripts/setup` puts it).

use std::env;
use std::path::Path;

fn main() {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets CARGO_CFG_TARGET_ARCH");
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let cache = Path::new(&root).join(".cache/tflite").join(&arch);
    if !cache.is_dir() {
        println!(
            "cargo:warning=no TensorFlow Lite for {arch} in {}: run scripts/setup",
            cache.display()
        );
    }
    for dir in [
        "$ORIGIN",
        "$ORIGIN/../lib/latchkey",
        &cache.to_string_lossy(),
    ] {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{dir}");
    }
    println!("cargo:rerun-if-changed=scripts/build.rs");
}
