//! The code between the crate `tflitec` and the C library.
//!
//! It sets the delegate's options, which tflitec leaves at their defaults: with the default of some versions no 8-bit layer
//! runs through XNNPACK, which takes five times as long. It also allows an input in the caller's memory
//! (`TfLiteCustomAllocation`), which tflitec does not know and not every version of the library has.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;

/// XNNPACK runs signed 8-bit layers (`TFLITE_XNNPACK_DELEGATE_FLAG_QS8`). The flag for unsigned layers is not set:
/// version 2.9 refuses it on x86-64.
const QS8: u32 = 1;

/// `TfLiteXNNPackDelegateOptions`, as in `c_api.h` beside this file.
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
    static MADE: Cell<*mut c_void> = const { Cell::new(std::ptr::null_mut()) };
}

/// Delegates that this thread makes during `make` also run 8-bit layers if `eight_bits`. Also returns the interpreter that
/// the library made last.
pub fn watch<T>(eight_bits: bool, make: impl FnOnce() -> T) -> (T, Option<NonNull<c_void>>) {
    let before = EIGHT_BITS.replace(eight_bits);
    MADE.set(std::ptr::null_mut());
    let made = make();
    EIGHT_BITS.set(before);
    (made, NonNull::new(MADE.get()))
}

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// `RTLD_NEXT` of glibc and musl: the definition after that of the calling program.
const NEXT: *mut c_void = std::ptr::without_provenance_mut(usize::MAX);

/// The library's own function of that name.
fn library(name: &CStr) -> *mut c_void {
    // SAFETY: `dlsym` is POSIX, takes any handle and any name, and returns null for an unknown name.
    unsafe { dlsym(NEXT, name.as_ptr()) }
}

/// The definition that tflitec finds, because it is the program's: it sets the flags and calls the library's.
///
/// # Safety
/// As the library's: `options` is null or points to options that its `TfLiteXNNPackDelegateOptionsDefault` made.
#[unsafe(no_mangle)]
unsafe extern "C" fn TfLiteXNNPackDelegateCreate(options: *const Options) -> *mut c_void {
    let real = library(c"TfLiteXNNPackDelegateCreate");
    if real.is_null() {
        // As the library does if it has no XNNPACK: the network runs without it.
        return std::ptr::null_mut();
    }
    // SAFETY: the symbol is the library's function of this name and of this type (xnnpack_delegate.h).
    let real: unsafe extern "C" fn(*const Options) -> *mut c_void =
        unsafe { std::mem::transmute(real) };
    // SAFETY: the caller guarantees that these are options, or null; they are read only.
    let mut mine = unsafe { options.as_ref() }.copied();
    match &mut mine {
        Some(mine) if EIGHT_BITS.get() => {
            mine.flags |= QS8;
            // SAFETY: options of the caller, changed in one flag; the library reads them before it returns.
            unsafe { real(mine) }
        }
        // SAFETY: guaranteed by the caller.
        _ => unsafe { real(options) },
    }
}

/// As above: records for [`watch`] which interpreter was made.
///
/// # Safety
/// As the library's: a model and options of its making, options may be null.
#[unsafe(no_mangle)]
unsafe extern "C" fn TfLiteInterpreterCreate(
    model: *const c_void,
    options: *const c_void,
) -> *mut c_void {
    let real = library(c"TfLiteInterpreterCreate");
    if real.is_null() {
        return std::ptr::null_mut();
    }
    // SAFETY: the symbol is the library's function of this name and of this type (c_api.h).
    let real: unsafe extern "C" fn(*const c_void, *const c_void) -> *mut c_void =
        unsafe { std::mem::transmute(real) };
    // SAFETY: guaranteed by the caller.
    let made = unsafe { real(model, options) };
    MADE.set(made);
    made
}

/// `TfLiteCustomAllocation` (common.h).
#[repr(C)]
struct CustomAllocation {
    data: *mut c_void,
    bytes: usize,
}

/// Moves the one input of an interpreter into other memory.
pub struct Mover {
    interpreter: NonNull<c_void>,
    /// The input's number among the tensors.
    tensor: c_int,
    set: unsafe extern "C" fn(*mut c_void, c_int, *const CustomAllocation, i64) -> c_int,
}

impl Mover {
    /// The alignment of such memory (`kDefaultTensorAlignment`).
    pub const ALIGNMENT: usize = 64;

    /// For the first input of `interpreter`; `None` if the library lacks the function.
    ///
    /// # Safety
    /// `interpreter` is one of the library's and outlives the mover.
    pub unsafe fn of(interpreter: NonNull<c_void>) -> Option<Self> {
        let set = library(c"TfLiteInterpreterSetCustomAllocationForTensor");
        let index = library(c"TfLiteInterpreterGetInputTensorIndex");
        if set.is_null() || index.is_null() {
            return None;
        }
        // SAFETY: the library's functions of these names and of these types (c_api_experimental.h).
        let (set, index) = unsafe {
            (
                std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut c_void, c_int, *const CustomAllocation, i64) -> c_int,
                >(set),
                std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*const c_void, i32) -> i32>(
                    index,
                ),
            )
        };
        // SAFETY: an interpreter, guaranteed by the caller; the index of a missing input is negative.
        let tensor = unsafe { index(interpreter.as_ptr(), 0) };
        (tensor >= 0).then_some(Self {
            interpreter,
            tensor,
            set,
        })
    }

    /// The next runs read their input from `data` on. False if the library refuses it.
    ///
    /// # Safety
    /// The input's `bytes` and `BEHIND` more can be read from `data` on for as long as such runs last, and the network
    /// writes none of its results over its input.
    pub unsafe fn put(&self, data: NonNull<u8>, bytes: usize) -> bool {
        let place = CustomAllocation {
            data: data.as_ptr().cast(),
            bytes,
        };
        // SAFETY: the interpreter lives (see `of`), and the library copies `place`.
        unsafe { (self.set)(self.interpreter.as_ptr(), self.tensor, &raw const place, 0) == 0 }
    }
}
