# Debian packages of another suite or architecture, unpacked and never installed. Sourced by scripts/vm/prepare and
# scripts/image, after scripts/lib.sh.

# The archive's URL in the machine's apt sources, in one-line or in deb822 form. LATCHKEY_DEBIAN_MIRROR overrides it.
find_mirror() {
    if [ -n "${LATCHKEY_DEBIAN_MIRROR:-}" ]; then echo "$LATCHKEY_DEBIAN_MIRROR"; return; fi
    local found
    found=$({
        cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
            sed -nE 's/^[[:space:]]*deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+).*/\2/p'
        for file in /etc/apt/sources.list.d/*.sources; do
            [ -e "$file" ] || continue
            awk -v RS= 'tolower($0) !~ /(^|\n)enabled: *no/' ORS='\n\n' "$file" |
                sed -nE 's/^[Uu][Rr][Ii][Ss]:[[:space:]]*//p' | tr -s ' \t' '\n'
        done
    } | grep -E '/debian/?$' | head -n1) || true
    [ -n "$found" ] || die "no source in /etc/apt/sources.list* ends in /debian: set LATCHKEY_DEBIAN_MIRROR to a Debian mirror's URL"
    echo "$found"
}

# open_apt DIR ARCH SUITE-AND-COMPONENTS...: sets up an apt with its own state in DIR/apt and reads its lists. Signatures are
# checked as usual; the host's package database is not touched. After that, `own_apt` uses this apt.
open_apt() {
    apt=$1/apt
    local log=$1/fetch.log arch=$2 mirror suite
    shift 2
    mirror=$(find_mirror)
    rm -rf "$apt"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    : > "$apt/status"
    for suite; do
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg arch=$arch] $mirror $suite"
    done > "$apt/sources.list"
    # A mirror that is no longer updated is accepted, too: signatures are still checked.
    cat > "$apt/apt.conf" <<CONF
Acquire::Check-Valid-Until "false";
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
CONF
    own_apt apt-get -qq update > "$log" 2>&1 ||
        die "cannot read $* at $mirror: $(grep -m1 '^E:' "$log" || echo "see $log"); set LATCHKEY_DEBIAN_MIRROR to use another mirror"
}

own_apt() {
    local command=$1
    shift
    APT_CONFIG=$apt/apt.conf "$command" "$@"
}

# would_install ARGUMENT...: prints the packages that `apt-get install ARGUMENT...` would install.
would_install() { own_apt apt-get -s install "$@" 2>> "$apt/../fetch.log" | awk '$1 == "Inst" { print $2 }'; }

# download DIR PACKAGE...: downloads the packages' files into DIR. Afterwards DIR is complete or does not exist. PACKAGE may be
# NAME/SUITE.
download() {
    local into=$1
    shift
    rm -rf "$into.new"
    mkdir -p "$into.new"
    (cd "$into.new" && own_apt apt-get -qq download "$@") >> "$apt/../fetch.log" 2>&1 ||
        die "download from $(find_mirror) failed: see $apt/../fetch.log; running this again starts over"
    rm -rf "$into"
    mv "$into.new" "$into"
}

# add_module NAME TREE INTO: decompresses a module's dependencies, then the module, from TREE, the kernel's folder of modules,
# into the folder INTO. INTO/order.txt has the order in which to load them. The dependencies come from the modules themselves,
# because depmod would need kmod, and would write its list into TREE.
add_module() {
    local name=${1//-/_} tree=$2 into=$3 file dependency
    [ -e "$into/../files.txt" ] || find "$tree" -name '*.ko*' > "$into/../files.txt"
    [ -e "$into/../seen.txt" ] || : > "$into/../seen.txt"
    grep -qx "$name" "$into/../seen.txt" && return 0
    echo "$name" >> "$into/../seen.txt"
    file=$(awk -F/ -v name="$name" '{ n = $NF; sub(/\.ko.*/, "", n); gsub(/-/, "_", n); if (n == name) print }' "$into/../files.txt")
    if [ -z "$file" ]; then
        # grep -q is not used, because it would end before tr, and tr's failure to write would then be the pipe's status.
        [ "$(tr - _ < "$tree/modules.builtin" | grep -c "/$name\.ko$")" = 0 ] || return 0
        die "the kernel ${tree##*/} has no module $name"
    fi
    case $file in
        *.xz) xz -dc "$file" ;;
        *.zst) zstd -dcq "$file" ;;
        *) cat "$file" ;;
    esac > "$into/$name.ko"
    for dependency in $(tr '\0' '\n' < "$into/$name.ko" | LC_ALL=C sed -n 's/^depends=//p' | tr , ' '); do
        add_module "$dependency" "$tree" "$into"
    done
    echo "$name" >> "$into/order.txt"
}
