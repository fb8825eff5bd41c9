#!/bin/sh
# Debian packages that a target needs, and that Go's modules do not bring. Each argument is package=program or package=/path, in
# which the shell's wildcards count: what is there is not asked for. Installs only where INSTALL is 1, and says so before. Nothing
# of what it installs is started, now or at the next boot: tests start what they need, as children of their own.
set -eu
policy=${POLICY_RC_D:-/usr/sbin/policy-rc.d}
say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

missing=
for wanted; do
  package=${wanted%%=*} there=${wanted#*=}
  case $there in
    # shellcheck disable=SC2086 # wildcards
    /*) ls $there >/dev/null 2>&1 || missing="$missing $package" ;;
    *) command -v "$there" >/dev/null 2>&1 || missing="$missing $package" ;;
  esac
done
[ -n "$missing" ] || exit 0
[ "${INSTALL:-}" = 1 ] || fail "needed and not there:$missing
on Debian, as root: the same with INSTALL=1, which installs them and starts nothing of them, or
  apt-get install --no-install-recommends$missing"
command -v apt-get >/dev/null 2>&1 || fail "INSTALL=1 uses apt-get, which is not here: install what Debian has in$missing"
[ "$(id -u)" = 0 ] || fail "INSTALL=1 needs root, to install$missing"

say "installing with apt-get, which takes a minute or two:$missing"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"; [ ! -e "$scratch.policy" ] || rm -f "$policy" "$scratch.policy"' EXIT
trap 'exit 1' HUP INT TERM
# A policy of the machine's own is left alone, but for one that we left behind when we were killed.
if [ ! -e "$policy" ] || grep -q 'of agogo' "$policy"; then
  : > "$scratch.policy"
  printf '#!/bin/sh\n# of agogo tools/debian/install.sh, while it installs\nexit 101\n' > "$policy"
  chmod 0755 "$policy"
fi
# shellcheck disable=SC2016 # dpkg's own variable
installed() { dpkg-query -W -f '${binary:Package}\n' | sort; }
installed > "$scratch/before"
# shellcheck disable=SC2086 # a list
if ! { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $missing; } > "$scratch/log" 2>&1; then
  tail -n 20 "$scratch/log" >&2
  fail "could not be installed:$missing"
fi
command -v systemctl >/dev/null 2>&1 || exit 0
installed | comm -13 "$scratch/before" - | while read -r package; do
  dpkg -L "$package" | sed -n 's|^.*/systemd/system/\([^/]*\.service\)$|\1|p'
done | sort -u | while read -r unit; do
  systemctl disable --quiet "$unit" || say "could not be kept from starting at the next boot: $unit"
done
