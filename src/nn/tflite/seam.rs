//! Where this program stands between the crate `tflitec` and the C library: the delegate's options, which tflitec leaves
//! at their defaults. The default of some versions runs no 8-bit layer through XNNPACK, which costs five times the time.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};

/// XNNPACK runs signed 8-bit layers (`TFLITE_XNNPACK_DELEGATE_FLAG_QS8`). The flag for unsigned ones is left alone:
/// version 2.9 refuses it on x86-64.
const QS8: u32 = 1;

/// `TfLiteXNNPackDelegateOptions`, as `c_api.h` beside this file has it.
#[derive(Clone, Copy)]
#[repr(C)]
struct Options {
    threads: i32,
    flags: u32,
    weights_cache: *mut c_void,
    #[cfg(target_arch = "aarch64")]
    reserved: [std::ffi::c_ulong; 30],
}

thread_local! {
    static EIGHT_BITS: Cell<bool> = const { Cell::new(false) };
}

/// Delegates that this thread makes during `make` run 8-bit layers too, if `yes`.
pub fn with_eight_bits<T>(yes: bool, make: impl FnOnce() -> T) -> T {
    let before = EIGHT_BITS.replace(yes);
    let made = make();
    EIGHT_BITS.set(before);
    made
}

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// `RTLD_NEXT` of glibc and musl: the definition after that of the calling program.
const NEXT: *mut c_void = std::ptr::without_provenance_mut(usize::MAX);

/// The library's own function of that name.
fn library(name: &CStr) -> *mut c_void {
    // SAFETY: `dlsym` is POSIX, takes any handle and any name, and answers null for what there is not.
    unsafe { dlsym(NEXT, name.as_ptr()) }
}

/// The definition that tflitec finds, being the program's: sets the flags and calls the library's.
///
/// # Safety
/// As the library's: `options` is null or points to options that its `TfLiteXNNPackDelegateOptionsDefault` made.
#[unsafe(no_mangle)]
unsafe extern "C" fn TfLiteXNNPackDelegateCreate(options: *const Options) -> *mut c_void {
    let real = library(c"TfLiteXNNPackDelegateCreate");
    if real.is_null() {
        // As the library does where it has no XNNPACK: the network runs without it.
        return std::ptr::null_mut();
    }
    // SAFETY: the symbol is the library's function of this name and of this type (xnnpack_delegate.h).
    let real: unsafe extern "C" fn(*const Options) -> *mut c_void =
        unsafe { std::mem::transmute(real) };
    // SAFETY: the caller promises that these are options, or null; they are read only.
    let mut mine = unsafe { options.as_ref() }.copied();
    match &mut mine {
        Some(mine) if EIGHT_BITS.get() => {
            mine.flags |= QS8;
            // SAFETY: options of the caller but for a flag, which the library reads before it returns.
            unsafe { real(mine) }
        }
        // SAFETY: what the caller promised.
        _ => unsafe { real(options) },
    }
}
