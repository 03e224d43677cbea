//! Build script: sets where the linked binary looks for its TensorFlow Lite library.
//!
//! The loader looks in this order: beside the binary, in `../lib/latchkey` (as packages install it),
//! and in the checkout's `.cache` (where `scripts/setup` puts it), unless `LATCHKEY_INSTALLED` is set.

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
    let mut places = vec!["$ORIGIN".to_owned(), "$ORIGIN/../lib/latchkey".to_owned()];
    // An installed binary must not look into a folder of the machine where it was built.
    if env::var_os("LATCHKEY_INSTALLED").is_none() {
        places.push(cache.to_string_lossy().into_owned());
    }
    for place in places {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{place}");
    }
    println!("cargo:rerun-if-env-changed=LATCHKEY_INSTALLED");
    println!("cargo:rerun-if-changed=scripts/build.rs");
}
