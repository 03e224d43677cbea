//! How much memory this process may use, as the kernel reports it: the machine's memory (proc_meminfo(5)), and the bounds of
//! the process's control groups.

use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Memory that is available without swapping, in KiB; 0 if the kernel does not report it.
#[must_use]
pub fn available_kib() -> u64 {
    let machine = reported("/proc/meminfo", "MemAvailable:");
    groups()
        .iter()
        .filter_map(|group| group.left())
        .map(|bytes| bytes >> 10)
        .fold(machine, u64::min)
}

/// Memory in use, in KiB.
#[must_use]
pub fn used_kib() -> u64 {
    reported("/proc/meminfo", "MemTotal:")
        .saturating_sub(reported("/proc/meminfo", "MemAvailable:"))
}

/// The number after `key` in a list from the kernel; 0 if it is missing.
fn reported(file: &str, key: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    number(&text, key).unwrap_or(0)
}

fn number(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let words = line.strip_prefix(key)?;
        words.split_ascii_whitespace().next()?.parse().ok()
    })
}

/// A control group with a bound: its folder, and the names of its files.
struct Group {
    folder: PathBuf,
    limit: &'static str,
    used: &'static str,
    idle: &'static str,
}

impl Group {
    /// How much may still be allocated, in bytes; `None` without a bound. Memory for files that were read but are unused counts
    /// as free.
    fn left(&self) -> Option<u64> {
        let read = |name: &str| std::fs::read_to_string(self.folder.join(name)).ok();
        let limit: u64 = read(self.limit)?.trim().parse().ok()?;
        let used: u64 = read(self.used)?.trim().parse().ok()?;
        let idle = read("memory.stat").and_then(|text| number(&text, self.idle));
        Some(limit.saturating_sub(used.saturating_sub(idle.unwrap_or(0))))
    }
}

/// The control groups of this process and their ancestors: cgroups(7), both versions.
fn groups() -> Vec<Group> {
    let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut groups = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, limit, used, idle) = if controllers.is_empty() {
            (
                "/sys/fs/cgroup",
                "memory.max",
                "memory.current",
                "inactive_file ",
            )
        } else if controllers.split(',').any(|c| c == "memory") {
            let (limit, used) = ("memory.limit_in_bytes", "memory.usage_in_bytes");
            ("/sys/fs/cgroup/memory", limit, used, "total_inactive_file ")
        } else {
            continue;
        };
        let root = Path::new(root);
        let inner = root.join(path.trim_start_matches('/'));
        let folders = inner
            .ancestors()
            .take_while(|folder| folder.starts_with(root));
        groups.extend(folders.map(|folder| Group {
            folder: folder.to_owned(),
            limit,
            used,
            idle,
        }));
    }
    groups
}

/// While this value exists, this process cannot allocate more than a given amount in addition to the memory that it had. A
/// larger request is refused or ends the process, and the machine keeps running.
///
/// The bound applies to the data (`RLIMIT_DATA`, setrlimit(2)), but not to networks and libraries, which are mapped from files.
pub struct Bounded(Rlimit);

impl Bounded {
    /// Allows `more` bytes in addition to the memory that the process has.
    #[must_use]
    pub fn to(more: u64) -> Self {
        let before = getrlimit(Resource::Data);
        let has = reported("/proc/self/status", "VmData:") << 10;
        let most = has.saturating_add(more);
        let bound = Rlimit {
            current: Some(before.current.map_or(most, |old| old.min(most))),
            maximum: before.maximum,
        };
        // If this fails, the other bounds still apply.
        let _ = setrlimit(Resource::Data, bound);
        Self(before)
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        let _ = setrlimit(Resource::Data, Rlimit { ..self.0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_the_rest_of_its_bound_and_unused_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("written")
        };
        let group = Group {
            folder: folder.path().to_owned(),
            limit: "memory.max",
            used: "memory.current",
            idle: "inactive_file ",
        };
        assert_eq!(group.left(), None);
        put("memory.current", "300\n");
        put("memory.max", "max\n");
        assert_eq!(group.left(), None);
        put("memory.max", "1000\n");
        assert_eq!(group.left(), Some(700));
        put("memory.stat", "anon 5\ninactive_file 100\nactive_file 7\n");
        assert_eq!(group.left(), Some(800));
        put("memory.current", "5000\n");
        assert_eq!(group.left(), Some(0));
    }

    #[test]
    fn this_process_may_have_some_memory() {
        assert!(available_kib() > 0);
    }
}
