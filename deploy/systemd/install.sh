#!/bin/sh
# Installs Agogo on one machine with the system's Postgres: binaries, keys, configuration, units, database and streams. Run as
# root from the top of the repository after `make build`. It may be repeated, and is after an upgrade: keys, tenants file and
# settings that are there stay as they are.
#
#   deploy/systemd/install.sh                    everything
#   deploy/systemd/install.sh --files            files and keys only: nothing is started, and no database is touched
#   DESTDIR=/tmp/x deploy/systemd/install.sh --files   the same below another folder, to be looked at: keys are among them,
#                                                so it is nothing to hand on
#
#   AGOGO_HOSTS      names and addresses that people reach this machine by   (default: those of the last time, or localhost,127.0.0.1)
#   AGOGO_ADMIN_DSN  an administrator of the database                         (default: a role agogo_admin is made in the system's Postgres)
set -eu
umask 077

here=$(cd "$(dirname "$0")" && pwd)
bin=${AGOGO_BIN:-$here/../../bin}
root=${DESTDIR:-}
etc=$root/etc/agogo
lib=$root/usr/local/lib/agogo
services="scheduler payouts recurrences notifier"
port() { case $1 in scheduler) echo 1 ;; payouts) echo 2 ;; recurrences) echo 3 ;; notifier) echo 4 ;; esac; }
say() { printf '%s\n' "$*"; }
fail() { say "install: $*" >&2; exit 1; }

for name in agogo nats-server $services; do
  [ -x "$bin/$name" ] || fail "$bin/$name is missing: run 'make build' first"
done
[ -n "$root" ] || [ "$(id -u)" = 0 ] || fail "must be run as root"

# --- files: binaries, units, and settings that are not there yet
keep() { # keep FROM TO MODE: copies unless TO is there
  [ -e "$2" ] || install -m "$3" "$1" "$2"
}
install -d -m 0755 "$lib" "$root/usr/local/bin" "$root/etc/systemd/system" "$root/etc/systemd" "$etc"
install -m 0755 "$bin/agogo" "$root/usr/local/bin/agogo"
for name in nats-server $services; do install -m 0755 "$bin/$name" "$lib/$name"; done
for unit in agogo@.service agogo-nats.service agogo.target; do install -m 0644 "$here/$unit" "$root/etc/systemd/system/$unit"; done
keep "$here/journald@agogo.conf" "$root/etc/systemd/journald@agogo.conf" 0644
keep "$here/nats.conf" "$etc/nats.conf" 0644
keep "$here/common.env" "$etc/common.env" 0644
keep "$here/../../examples/tenants.yaml" "$etc/tenants.yaml" 0644

# --- keys, and what is written from them
keys=$etc/keys
# The names of the last time are kept: a certificate that is made anew for fewer would shut people out.
[ -n "${AGOGO_HOSTS:-}" ] || AGOGO_HOSTS=$(cat "$etc/hosts" 2>/dev/null || say localhost,127.0.0.1)
"$bin/agogo" provision keys --dir "$keys" --host "$AGOGO_HOSTS"
say "$AGOGO_HOSTS" > "$etc/hosts"
"$bin/agogo" provision nats-conf --dir "$keys" > "$etc/nats-accounts.conf"
chmod 0644 "$etc/nats-accounts.conf" # public keys and subjects: nothing secret
for s in $services; do
  [ -e "$etc/$s.env" ] || cat > "$etc/$s.env" <<END
AGOGO_POSTGRES_DSN=postgres://agogo_$s@localhost:5432/agogo
AGOGO_GRPC_ADDR=127.0.0.1:710$(port "$s")
AGOGO_HTTP_ADDR=127.0.0.1:810$(port "$s")
END
done
for s in $services; do
  install -d -m 0700 "$etc/secrets/$s"
  [ -e "$etc/$s.secrets.env" ] || say "# What the tenants file takes from the environment and $s reads: agogo provision variables --service $s" > "$etc/$s.secrets.env"
done
# The section itself is asked for, so that whatever an attempt did before it ended is made good by the next one.
grep -Eq '^["'\'']?auth["'\'']?[[:space:]]*:' "$etc/tenants.yaml" || {
  "$bin/agogo" provision auth --dir "$keys" > "$etc/auth.new"
  cat "$etc/tenants.yaml" "$etc/auth.new" > "$etc/tenants.yaml.new"
  chmod 0644 "$etc/tenants.yaml.new"
  mv "$etc/tenants.yaml.new" "$etc/tenants.yaml"
  rm -f "$etc/auth.new"
}
"$bin/agogo" provision context --dir "$keys" --host localhost > "$etc/context.json"
say "files are in ${etc}"

# --- what the tenants file names and nobody has written yet
missing=
for s in $services; do
  names=$("$bin/agogo" provision variables --config "$etc/tenants.yaml" --service "$s")
  for name in $names; do
    grep -Eqs "^$name=.+" "$etc/$s.secrets.env" "$etc/$s.env" "$etc/common.env" && continue
    say "missing: $name in $etc/$s.secrets.env"
    missing=yes
  done
done
[ "${1:-}" != --files ] || exit 0
[ -z "$root" ] || fail "DESTDIR goes with --files only"

# --- database and streams
if [ -z "${AGOGO_ADMIN_DSN:-}" ]; then
  command -v psql >/dev/null || fail "there is no psql: install postgresql, or name a database in AGOGO_ADMIN_DSN"
  password=$(cat "$keys/postgres/admin")
  # The password goes in by standard input: arguments are everybody's to read.
  runuser -u postgres -- psql -qX -v ON_ERROR_STOP=1 >/dev/null <<END
DO \$\$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'agogo_admin') THEN CREATE ROLE agogo_admin LOGIN CREATEROLE CREATEDB; END IF;
END \$\$;
ALTER ROLE agogo_admin PASSWORD '$password';
END
  AGOGO_ADMIN_DSN="postgres://agogo_admin:$password@localhost:5432/agogo"
fi
systemctl daemon-reload
systemctl restart systemd-journald@agogo.service 2>/dev/null || true # it starts by itself with the first unit
systemctl enable -q agogo.target agogo-nats.service
# Neither a new binary nor a new certificate is taken up by a reload: systemd hands credentials over at the start alone.
running=$(cat "$lib/nats-server" "$etc/nats.conf" "$keys/tls/nats.crt" "$root/etc/systemd/system/agogo-nats.service" | sha256sum)
if [ "$running" = "$(cat "$etc/nats.running" 2>/dev/null)" ]; then
  systemctl reload-or-restart agogo-nats.service # the users may be others
else
  systemctl restart agogo-nats.service
  say "$running" > "$etc/nats.running"
fi
AGOGO_POSTGRES_DSN=$AGOGO_ADMIN_DSN "$bin/agogo" provision apply --keys "$keys" --nats-url tls://localhost:4222 --nats-ca "$keys/tls/ca.crt"

[ -z "$missing" ] || fail "database and streams are ready, and no service was started: write what is missing above, and run this again"

# --- services, the one that wakes the others last
for s in payouts recurrences notifier scheduler; do
  systemctl enable -q "agogo@$s.service"
  systemctl restart "agogo@$s.service"
done
tries=0
until AGOGO_CONTEXT=$etc/context.json "$bin/agogo" doctor; do
  tries=$((tries + 1))
  [ "$tries" -lt 10 ] || fail "not everything is ready; see: journalctl --namespace=agogo -e"
  sleep 3
done
say "Agogo runs. After an edit of $etc/tenants.yaml or a secret: systemctl restart agogo.target"
say "Commands find it by: export AGOGO_CONTEXT=$etc/context.json"
