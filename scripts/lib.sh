# Code that scripts/setup, scripts/test and scripts/demo share. This file is sourced, not run.
#
# The output is for people who wait: every step prints what it does, how long it takes and, if it fails, the fix in one
# sentence. The output of the tools themselves goes to .cache/log.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache
me=${0##*/}
cross_target=aarch64-unknown-linux-gnu
mkdir -p "$cache/log"

# The folder where rustup installs itself, for shells that do not have it in PATH (sudo, cron).
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

say() { printf '%s: %s\n' "$me" "$*"; }
die() { printf '%s: %s\n' "$me" "$*" >&2; exit 1; }
has() { command -v "$1" > /dev/null; }

# now: prints the monotonic time in hundredths of a second. seconds HUNDREDTHS: prints such a number in a form for people.
now() { local up; read -r up _ < /proc/uptime; echo "${up/./}"; }
seconds() { printf '%d.%d s' $(($1 / 100)) $(($1 % 100 / 10)); }

# tick WHAT: counts seconds behind WHAT until stopped: in place on a terminal, otherwise with a line every 20 s.
tick() {
    local start=$SECONDS
    # With its output redirected, a last sleep does not keep a pipe behind this script open after the script has ended.
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
# its time in `took`. Do not call it before || or in a condition: bash would then ignore -e inside COMMAND.
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

# must LOG WHAT FIX COMMAND...: the same for a command that must succeed for the script to continue. FIX is printed if it fails.
must() {
    local log=$1 what=$2 fix=$3
    shift 3
    quietly "$log" "$what" "$@"
    if [ "$status" != 0 ]; then
        tail -n 15 "$cache/log/$log.log" | sed 's/^/    /' >&2
        die "$what: failed after $(seconds "$took"); $fix (whole log: .cache/log/$log.log)"
    fi
    say "$what: $(seconds "$took")"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n -- "$@"; fi
}

# need_root WHY: asks for sudo's password while output still goes to the terminal, not to a file.
need_root() {
    [ "$(id -u)" != 0 ] || return 0
    has sudo || die "needs root to $1: run it as root, or install sudo"
    sudo -v || die "needs root to $1, and sudo refused"
}

# install_packages PACKAGE...: installs the packages that are missing, from the machine's own apt sources.
install_packages() {
    local package missing=()
    for package; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} != 0 ] || return 0
    update_packages
    must apt "installing ${missing[*]}" "make sure that 'apt-get update' works and that the disk has a gigabyte left, then run this again" \
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

# The path of a compiler that has the standard library of the other architecture: the first in PATH (rustup's), or else Debian's.
cross_rustc() {
    local rustc libraries
    for rustc in "$(command -v rustc || true)" /usr/bin/rustc; do
        [ -x "$rustc" ] || continue
        libraries=$("$rustc" --print target-libdir --target "$cross_target" 2> /dev/null) || continue
        if compgen -G "$libraries/libstd-*" > /dev/null && new_enough "$rustc"; then echo "$rustc"; return; fi
    done
    return 1
}

# cross_cargo COMMAND...: runs cargo for that architecture, without debug information, because this is the longest build of all.
cross_cargo() {
    local rustc command=$1
    shift
    rustc=$(cross_rustc) || die "no Rust for $cross_target: run scripts/setup --cross"
    RUSTC=$rustc CARGO_PROFILE_DEV_DEBUG=0 \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L $cross_libraries" \
        cargo "$command" --locked --target "$cross_target" "$@"
}

# emulated COMMAND...: runs COMMAND, or a function of this file, where the kernel starts programs of that architecture in QEMU,
# so that they can start one another. If the machine is not set up for this, a user namespace is set up (Linux 6.7 and newer),
# and the machine is not changed.
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

# new_enough RUSTC: whether RUSTC is the version that Cargo.toml requires, or newer.
rust_needed() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml"; }
new_enough() {
    local version
    version=$("$1" --version 2> /dev/null | cut -d' ' -f2) || return 1
    [ "$(printf '%s\n' "$(rust_needed)" "$version" | sort -V | head -n 1)" = "$(rust_needed)" ]
}

is_sha256() { [ -e "$1" ] && echo "$2  $1" | sha256sum --check --status; }
