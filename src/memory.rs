//! What the kernel says of the machine's memory: proc_meminfo(5).

/// What could be had without swapping, in KiB; 0 if the kernel does not say.
#[must_use]
pub fn available_kib() -> u64 {
    said("MemAvailable:")
}

/// What is in use, in KiB.
#[must_use]
pub fn used_kib() -> u64 {
    said("MemTotal:").saturating_sub(available_kib())
}

fn said(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let number = text.lines().find_map(|l| {
        let words = l.strip_prefix(key)?;
        words.split_ascii_whitespace().next()?.parse().ok()
    });
    number.unwrap_or(0)
}
