//! Counts the heap allocations, locks and whole-frame copies of the capture and recognition threads of a
//! running pipeline over 1,000 frames with a face. All three counts must be zero.
//!
//! The calls of the C library are counted: this program defines `malloc`, `pthread_mutex_lock`, `memcpy`
//! and related functions, counts each call for the calling thread, and passes it on. What TensorFlow Lite
//! allocates inside an invocation is counted separately, and must not grow. Contended locks
//! of Rust show as futex calls; uncontended locks show nowhere, which is why the lints forbid them in `src`.
#![expect(unsafe_code, reason = "replaces functions of the C library")]

use std::ffi::{c_int, c_long, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use latchkey::broker::Broker;
use latchkey::capture::Photo;
use latchkey::config::{Config, Overrides};
use latchkey::doorstep::{Play, SceneRenderer, Script, picture};
use latchkey::face::{Reader, Settings};
use latchkey::nn::Manifest;
use latchkey::people::Rule;
use latchkey::pipeline::{self, Progress};
use latchkey::supervisor::Supervisor;

const FRAMES: u64 = 1000;
const WARM_UP: u64 = 50;
/// A copy of at least this size counts as a copy of a frame, or of a large part of a frame: 640x480 YUYV is 614,400 bytes.
const LARGE: usize = 100_000;

/// The counts of one thread.
#[derive(Default)]
struct Account {
    thread: AtomicU32,
    allocations: AtomicU64,
    locks: AtomicU64,
    copies: AtomicU64,
    futexes: AtomicU64,
    /// The number of allocations inside a network's invocation.
    engine: AtomicU64,
}

#[expect(
    clippy::declare_interior_mutable_const,
    reason = "is only copied into the array"
)]
const UNUSED: Account = Account {
    thread: AtomicU32::new(0),
    allocations: AtomicU64::new(0),
    locks: AtomicU64::new(0),
    copies: AtomicU64::new(0),
    futexes: AtomicU64::new(0),
    engine: AtomicU64::new(0),
};
static ACCOUNTS: [Account; 64] = [const { UNUSED }; 64];

thread_local! {
    /// Index of this thread's account, plus one. It has no destructor and is made at compile time, so
    /// that reading it allocates nothing.
    static PLACE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    /// Whether this thread is inside an invocation.
    static INVOKING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// The calling thread's account; none when the thread is being torn down or all accounts are taken.
fn mine() -> Option<&'static Account> {
    let place = PLACE.try_with(std::cell::Cell::get).ok()?;
    if place > 0 {
        return ACCOUNTS.get(place - 1);
    }
    // SAFETY: takes no argument, returns the thread's number.
    let thread = unsafe { raw_syscall(libc_numbers::GETTID, [0; 6]) };
    let thread = u32::try_from(thread).ok()?;
    let free = ACCOUNTS.iter().position(|a| {
        a.thread
            .compare_exchange(0, thread, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    })?;
    let _ = PLACE.try_with(|p| p.set(free + 1));
    ACCOUNTS.get(free)
}

fn count(of: impl Fn(&Account) -> &AtomicU64) {
    if let Some(account) = mine() {
        of(account).fetch_add(1, Ordering::Relaxed);
    }
}

fn count_allocation() {
    if INVOKING.try_with(std::cell::Cell::get).unwrap_or(false) {
        count(|a| &a.engine);
    } else {
        count(|a| &a.allocations);
    }
}

mod libc_numbers {
    use std::ffi::c_long;
    #[cfg(target_arch = "x86_64")]
    pub const GETTID: c_long = 186;
    #[cfg(target_arch = "x86_64")]
    pub const FUTEX: c_long = 202;
    #[cfg(target_arch = "aarch64")]
    pub const GETTID: c_long = 178;
    #[cfg(target_arch = "aarch64")]
    pub const FUTEX: c_long = 98;
}

/// The kernel's result; an errno is a negative number.
unsafe fn raw_syscall(number: c_long, a: [c_long; 6]) -> c_long {
    let answer;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel's calling convention; the caller vouches for the arguments.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") number => answer, in("rdi") a[0], in("rsi") a[1],
            in("rdx") a[2], in("r10") a[3], in("r8") a[4], in("r9") a[5], out("rcx") _, out("r11") _,
            options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("svc 0", in("x8") number, inlateout("x0") a[0] => answer, in("x1") a[1],
            in("x2") a[2], in("x3") a[3], in("x4") a[4], in("x5") a[5], options(nostack));
    }
    answer
}

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(n: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(align: usize, size: usize) -> *mut c_void;
    fn __errno_location() -> *mut c_int;
    fn dlsym(handle: *mut c_void, name: *const std::ffi::c_char) -> *mut c_void;
}

// SAFETY (all of the functions below): each has the signature and meaning of the function that it replaces,
// counts the call, and passes its arguments on unchanged.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    count_allocation();
    // SAFETY: see above.
    unsafe { __libc_malloc(size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(n: usize, size: usize) -> *mut c_void {
    count_allocation();
    // SAFETY: see above.
    unsafe { __libc_calloc(n, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    count_allocation();
    // SAFETY: see above.
    unsafe { __libc_realloc(block, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(to: *mut *mut c_void, align: usize, size: usize) -> c_int {
    count_allocation();
    // SAFETY: see above; the caller lets this function write to `to`.
    unsafe {
        let block = __libc_memalign(align, size);
        if block.is_null() {
            return 12;
        }
        *to = block;
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    count_allocation();
    // SAFETY: see above.
    unsafe { __libc_memalign(align, size) }
}

/// The function with which TensorFlow Lite starts an invocation.
#[unsafe(no_mangle)]
unsafe extern "C" fn TfLiteInterpreterInvoke(interpreter: *mut c_void) -> c_int {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let _ = INVOKING.try_with(|i| i.set(true));
    // SAFETY: see above.
    let status = unsafe { next(&NEXT, c"TfLiteInterpreterInvoke", interpreter) };
    let _ = INVOKING.try_with(|i| i.set(false));
    status
}

/// Calls the next definition of a function that takes one pointer. The definition is looked up once and kept in `at`.
unsafe fn next(at: &AtomicU64, name: &std::ffi::CStr, lock: *mut c_void) -> c_int {
    let mut address = at.load(Ordering::Relaxed);
    if address == 0 {
        // SAFETY: RTLD_NEXT (-1) with a name that ends in a zero.
        address = unsafe { dlsym(-1isize as *mut c_void, name.as_ptr()) } as u64;
        at.store(address, Ordering::Relaxed);
    }
    // SAFETY: the C library's function of that name, of this signature.
    let function: unsafe extern "C" fn(*mut c_void) -> c_int =
        unsafe { std::mem::transmute(address as usize) };
    // SAFETY: see above.
    unsafe { function(lock) }
}

macro_rules! counted_locks {
    ($($name:ident $text:literal)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(lock: *mut c_void) -> c_int {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            count(|a| &a.locks);
            // SAFETY: see above.
            unsafe { next(&NEXT, $text, lock) }
        }
    )*};
}

counted_locks! {
    pthread_mutex_lock c"pthread_mutex_lock"
    pthread_mutex_trylock c"pthread_mutex_trylock"
    pthread_rwlock_rdlock c"pthread_rwlock_rdlock"
    pthread_rwlock_wrlock c"pthread_rwlock_wrlock"
    pthread_spin_lock c"pthread_spin_lock"
}

/// The function with which Rust's own locks and parked threads wait.
#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    if number == libc_numbers::FUTEX {
        count(|a| &a.futexes);
    }
    // SAFETY: see above; errno is the calling thread's own.
    unsafe {
        let answer = raw_syscall(number, [a, b, c, d, e, f]);
        if (-4095..0).contains(&answer) {
            *__errno_location() = c_int::try_from(-answer).unwrap_or(0);
            return -1;
        }
        answer
    }
}

/// Copies forwards or backwards with the processor's string instruction, which the compiler cannot
/// turn into a call of `memcpy` or `memmove`, defined below.
unsafe fn copy(to: *mut u8, from: *const u8, n: usize) {
    let backwards = (to as usize).wrapping_sub(from as usize) < n;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller vouches for both ranges; the direction flag is put back.
    unsafe {
        if backwards && n > 0 {
            std::arch::asm!("std", "rep movsb", "cld", inout("rcx") n => _,
                inout("rdi") to.add(n - 1) => _, inout("rsi") from.add(n - 1) => _);
        } else {
            std::arch::asm!("rep movsb", inout("rcx") n => _, inout("rdi") to => _,
                inout("rsi") from => _);
        }
    }
    #[cfg(target_arch = "aarch64")]
    for i in 0..n {
        let i = if backwards { n - 1 - i } else { i };
        // SAFETY: the caller vouches for both ranges. Volatile, so that the compiler does not turn the loop into a call.
        unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if n >= LARGE {
        count(|a| &a.copies);
    }
    // SAFETY: see above.
    unsafe { copy(to, from, n) };
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if n >= LARGE {
        count(|a| &a.copies);
    }
    // SAFETY: see above.
    unsafe { copy(to, from, n) };
    to
}

/// The account of the thread named `name`: allocations, locks, copies, futex calls, the engine's own
/// allocations.
fn account(name: &str) -> [u64; 5] {
    let of = |a: &Account| {
        let thread = a.thread.load(Ordering::Relaxed);
        let comm = std::fs::read_to_string(format!("/proc/self/task/{thread}/comm"));
        comm.is_ok_and(|comm| comm.trim() == name)
    };
    let found = ACCOUNTS.iter().find(|a| of(a));
    let found = found.unwrap_or_else(|| panic!("no thread named {name}"));
    numbers(found)
}

fn numbers(a: &Account) -> [u64; 5] {
    [&a.allocations, &a.locks, &a.copies, &a.futexes, &a.engine].map(|n| n.load(Ordering::Relaxed))
}

/// Checks that the counters count: a test of the test.
fn counters_count() {
    let before = account_of_this_thread();
    let large = vec![1u8; 2 * LARGE];
    std::hint::black_box(large.clone());
    let after = account_of_this_thread();
    assert!(after[0] > before[0], "allocations are not seen");
    assert!(after[2] > before[2], "copies are not seen");
    let mut lock = [0u64; 16];
    // SAFETY: 128 zero bytes are an unlocked pthread_mutex_t, which lives until it is unlocked.
    unsafe {
        unsafe extern "C" {
            fn pthread_mutex_unlock(lock: *mut c_void) -> c_int;
        }
        pthread_mutex_lock(lock.as_mut_ptr().cast());
        pthread_mutex_unlock(lock.as_mut_ptr().cast());
    }
    assert!(account_of_this_thread()[1] > after[1], "locks are not seen");
}

fn account_of_this_thread() -> [u64; 5] {
    numbers(mine().expect("an account"))
}

#[test]
fn a_thousand_frames_without_allocation_lock_or_copy() {
    counters_count();
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("photo.png");
    let mut renderer = SceneRenderer::new(Play::new(&Script::default()));
    let mut canvas = picture();
    renderer.photo(0, 0, &mut canvas);
    canvas.save(&photo).unwrap();
    let mut config = Config::load(&Overrides {
        board: Some("host".to_owned()),
        models: Some("latchkey".to_owned()),
        model_files: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/models").into()),
        gallery: Some(folder.path().join("gallery")),
        ..Overrides::default()
    })
    .unwrap();
    config.camera.source = format!("pictures:{}", photo.display());
    config.camera.picture_frames = 1_000_000;
    config.camera.fps = 240;
    let manifest = Manifest::load(&config.models).unwrap();
    let mut reader = Reader::load(
        &manifest,
        &config.model_files,
        config.engine,
        Settings::default(),
    )
    .unwrap();
    let faces = reader.read_photo(&Photo::open(&photo).unwrap().image());
    assert!(faces.unwrap()[0].embedding.is_ok(), "a face in every frame");
    let rule = Rule {
        threshold: 0.5,
        fixed: true,
        margin: 0.05,
    };
    let progress = Arc::new(Progress::default());
    let running = std::thread::spawn({
        let progress = Arc::clone(&progress);
        move || {
            let (broker, supervisor) = (Broker::none(), Supervisor::default());
            pipeline::run(
                &config,
                &manifest,
                rule,
                reader,
                &progress,
                broker,
                &supervisor,
            )
        }
    });
    let reach = |frames: u64| {
        let begun = Instant::now();
        while progress.looked() < frames {
            assert!(!running.is_finished(), "the pipeline ended");
            assert!(begun.elapsed() < Duration::from_secs(300), "too slow");
            std::thread::sleep(Duration::from_millis(5));
        }
        (account("recognition"), account("pictures"))
    };
    let (recognition, camera) = reach(WARM_UP);
    let (recognition_then, camera_then) = reach(WARM_UP + FRAMES);
    // SAFETY: SIGTERM to this process, whose pipeline handles it.
    unsafe { raw_syscall(kill_number(), [std::process::id().into(), 15, 0, 0, 0, 0]) };
    running.join().unwrap().unwrap();
    assert_eq!(progress.unread(), 0);

    let [allocations, locks, copies, futexes, engine]: [u64; 5] =
        std::array::from_fn(|i| recognition_then[i] - recognition[i]);
    println!(
        "recognition, {FRAMES} frames: allocations={allocations} locks={locks} copies={copies} futex={futexes}, inside TensorFlow Lite: allocations={engine}"
    );
    assert_eq!(
        (allocations, locks, copies),
        (0, 0, 0),
        "allocations, locks, copies"
    );
    // The library's allocations are not in our code, but the test must notice if their number grows.
    assert!(
        engine <= 10 * FRAMES,
        "{engine} allocations inside the engine"
    );
    // One futex call per frame parks the thread; a second one would be a lock.
    assert!(futexes <= FRAMES + 100, "{futexes} futex calls");

    // The source of pictures copies its picture into the buffer, as a camera's hardware does. Apart from
    // that one write per frame it must do as little as the V4L2 source.
    let [allocations, locks, ..]: [u64; 5] = std::array::from_fn(|i| camera_then[i] - camera[i]);
    println!("camera, meanwhile: allocations={allocations} locks={locks}");
    assert_eq!(
        (allocations, locks),
        (0, 0),
        "allocations, locks of the source"
    );
}

fn kill_number() -> c_long {
    if cfg!(target_arch = "x86_64") {
        62
    } else {
        129
    }
}
