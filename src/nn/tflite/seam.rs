//! The code between the crate `tflitec` and the C library.
//!
//! It sets the delegate's options, which tflitec leaves at their defaults. With the defaults of some versions, no 8-bit
//! layer runs through XNNPACK, which takes five times as long. It also allows an input in the caller's memory
//! (`TfLiteCustomAllocation`), which tflitec does not support and not every version of the library has.

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

/// Calls `make`. Delegates that this thread makes during the call also run 8-bit layers if `eight_bits` is set. Also returns
/// the last interpreter that the library made.
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

/// `RTLD_NEXT` of glibc and musl: finds the definition that follows the calling program's own.
const NEXT: *mut c_void = std::ptr::without_provenance_mut(usize::MAX);

/// The library's own function with this name.
fn library(name: &CStr) -> *mut c_void {
    // SAFETY: `dlsym` is POSIX, takes any handle and any name, and returns null for an unknown name.
    unsafe { dlsym(NEXT, name.as_ptr()) }
}

/// tflitec finds this definition instead of the library's, because this one is in the program. It sets the flags and calls
/// the library's function.
///
/// # Safety
/// As for the library's function: `options` must be null or point to options that the library's
/// `TfLiteXNNPackDelegateOptionsDefault` made.
#[unsafe(no_mangle)]
unsafe extern "C" fn TfLiteXNNPackDelegateCreate(options: *const Options) -> *mut c_void {
    let real = library(c"TfLiteXNNPackDelegateCreate");
    if real.is_null() {
        // As the library does if it has no XNNPACK. The network then runs without it.
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
            // SAFETY: these are the caller's options, changed in one flag; the library reads them before it returns.
            unsafe { real(mine) }
        }
        // SAFETY: guaranteed by the caller.
        _ => unsafe { real(options) },
    }
}

/// Also stands in for the library's function. Records for [`watch`] which interpreter was made.
///
/// # Safety
/// As for the library's function: the library must have made `model` and `options`; `options` may be null.
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

/// Moves the only input of an interpreter into other memory.
pub struct Mover {
    interpreter: NonNull<c_void>,
    /// The index of the input among the tensors.
    tensor: c_int,
    set: unsafe extern "C" fn(*mut c_void, c_int, *const CustomAllocation, i64) -> c_int,
}

impl Mover {
    /// The alignment that this memory must have (`kDefaultTensorAlignment`).
    pub const ALIGNMENT: usize = 64;

    /// A mover for the first input of `interpreter`; `None` if there is no input or the library lacks the function.
    ///
    /// # Safety
    /// `interpreter` must be one of the library's and must outlive the mover.
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
        // SAFETY: the caller guarantees that this is an interpreter. The index of a missing input is negative.
        let tensor = unsafe { index(interpreter.as_ptr(), 0) };
        (tensor >= 0).then_some(Self {
            interpreter,
            tensor,
            set,
        })
    }

    /// Makes the next runs read their input starting at `data`. Returns false if the library refuses this.
    ///
    /// # Safety
    /// While such runs take place, the `bytes` bytes of the input and `BEHIND` more must be readable at `data`, and the
    /// network must not write results over its input.
    pub unsafe fn put(&self, data: NonNull<u8>, bytes: usize) -> bool {
        let place = CustomAllocation {
            data: data.as_ptr().cast(),
            bytes,
        };
        // SAFETY: the interpreter still exists (see `of`), and the library copies `place`.
        unsafe { (self.set)(self.interpreter.as_ptr(), self.tensor, &raw const place, 0) == 0 }
    }
}
