# What scripts/setup, scripts/test and scripts/demo share. Sourced, not run.
#
# Output is for people who wait: every step says what it does, for how long, and, if it fails, the fix in one
# sentence. What the tools themselves say goes to .cache/log.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache
me=${0##*/}
cross_target=aarch64-unknown-linux-gnu
mkdir -p "$cache/log"

# Where rustup puts itself, for shells that were not told (sudo, cron).
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

say() { printf '%s: %s\n' "$me" "$*"; }
die() { printf '%s: %s\n' "$me" "$*" >&2; exit 1; }
has() { command -v "$1" > /dev/null; }

# Hundredths of a second on the monotonic clock, and for people.
now() { local up; read -r up _ < /proc/uptime; echo "${up/./}"; }
seconds() { printf '%d.%d s' $(($1 / 100)) $(($1 % 100 / 10)); }

# Counts up behind WHAT until stopped: in place on a terminal, otherwise a line every 20 s.
tick() {
    local start=$SECONDS
    # Its own output, so that a pipe behind this script ends with the script and not with a last sleep.
    while sleep 1 > /dev/null 2>&1; do
        if [ -t 1 ]; then printf '\r%s: %s ... %d s ' "$me" "$1" $((SECONDS - start))
        elif (((SECONDS - start) % 20 == 0)); then say "$1 ... $((SECONDS - start)) s"; fi
    done
}

stop_ticker() {
    [ -n "${ticker:-}" ] || return 0
    kill "$ticker" 2> /dev/null || true
    wait "$ticker" 2> /dev/null || true
    ticker=""
}
trap stop_ticker EXIT

# quietly LOG WHAT COMMAND...: runs COMMAND with its output in .cache/log/LOG.log; leaves its status in `status` and
# its time in `took`. Not to be called behind || or in a condition: bash would then ignore -e inside COMMAND.
quietly() {
    local log=$cache/log/$1.log what=$2 start
    shift 2
    start=$(now)
    [ -t 1 ] || say "$what"
    tick "$what" &
    ticker=$!
    set +e
    (set -e; "$@") > "$log" 2>&1 < /dev/null
    status=$?
    set -e
    stop_ticker
    took=$(($(now) - start))
    [ ! -t 1 ] || printf '\r\033[K'
}

# must LOG WHAT FIX COMMAND...: the same for what nothing goes on without. The sentence it fails with is FIX.
must() {
    local log=$1 what=$2 fix=$3
    shift 3
    quietly "$log" "$what" "$@"
    if [ "$status" != 0 ]; then
        tail -n 15 "$cache/log/$log.log" | sed 's/^/    /' >&2
        die "$what: failed after $(seconds "$took"); $fix (all of it: .cache/log/$log.log)"
    fi
    say "$what: $(seconds "$took")"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n -- "$@"; fi
}

# need_root WHY: asks for sudo's password now, on the terminal, and not while output goes to a file.
need_root() {
    [ "$(id -u)" != 0 ] || return 0
    has sudo || die "needs root to $1: run it as root, or install sudo"
    sudo -v || die "needs root to $1, and sudo refused"
}

# install_packages PACKAGE...: those that are missing, from the machine's own apt sources.
install_packages() {
    local package missing=()
    for package; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} != 0 ] || return 0
    update_packages
    must apt "installing ${missing[*]}" "see that 'apt-get update' works and that the disk has a gigabyte left, then run this again" \
        apt_install "${missing[@]}"
}
update_packages() {
    [ -z "${updated:-}" ] || return 0
    need_root "install packages"
    must apt-update "updating apt's lists" "fix /etc/apt/sources.list* or the network until 'apt-get update' works, then run this again" \
        apt_update
    updated=yes
}
apt_options=(-qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
apt_update() { as_root apt-get "${apt_options[@]}" update; }
apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get "${apt_options[@]}" install -y --no-install-recommends "$@"
}

# The compiler that has the standard library of the other architecture: rustup's, else Debian's beside it.
cross_rustc() {
    local rustc libraries
    for rustc in "$(command -v rustc || true)" /usr/bin/rustc; do
        [ -x "$rustc" ] || continue
        libraries=$("$rustc" --print target-libdir --target "$cross_target" 2> /dev/null) || continue
        if compgen -G "$libraries/libstd-*" > /dev/null && new_enough "$rustc"; then echo "$rustc"; return; fi
    done
    return 1
}

# cross_cargo COMMAND...: cargo for that architecture. Built without what only a debugger or a benchmark would miss: it is
# the longest build of all.
cross_cargo() {
    local rustc command=$1
    shift
    rustc=$(cross_rustc) || die "no Rust for $cross_target: run scripts/setup --cross"
    RUSTC=$rustc CARGO_PROFILE_DEV_DEBUG=0 \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L $cross_libraries" \
        cargo "$command" --locked --target "$cross_target" "$@"
}

# emulated COMMAND...: COMMAND, or a function of this file, where the kernel starts programs of that architecture in QEMU, so
# that they can start one another. Where the machine does not do so by itself, a user namespace does (Linux 6.7 and newer);
# nothing of the machine is changed.
emulated() {
    if grep -qs '^enabled' /proc/sys/fs/binfmt_misc/qemu-aarch64; then QEMU_LD_PREFIX=$cross_libraries "$@"; return; fi
    QEMU_LD_PREFIX=$cross_libraries unshare --user --map-root-user --mount \
        bash -c '. "$1" && shift && register_aarch64 && "$@"' "${BASH_SOURCE[0]}" "$root/scripts/lib.sh" "$@"
}
cross_libraries=/usr/aarch64-linux-gnu
register_aarch64() {
    local head='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    local mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc &&
        printf '%s' ":qemu-aarch64:M::$head:$mask:$(command -v qemu-aarch64):PF" > /proc/sys/fs/binfmt_misc/register
}

# new_enough RUSTC: whether it is the Rust that Cargo.toml asks for, or newer.
rust_needed() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml"; }
new_enough() {
    local version
    version=$("$1" --version 2> /dev/null | cut -d' ' -f2) || return 1
    [ "$(printf '%s\n' "$(rust_needed)" "$version" | sort -V | head -n 1)" = "$(rust_needed)" ]
}

is_sha256() { [ -e "$1" ] && echo "$2  $1" | sha256sum --check --status; }
