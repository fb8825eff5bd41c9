#!/bin/sh
# Installs Agogo on one machine with the system's Postgres: binaries, keys, configuration, units, database and streams. Run as
# root from the top of the repository after `make build`. It may be repeated, and is after an upgrade: keys, tenants file and
# settings that are there stay as they are.
#
#   deploy/systemd/install.sh                    everything
#   deploy/systemd/install.sh --files            files and keys only: nothing is started, and no database is touched
#   DESTDIR=/tmp/x deploy/systemd/install.sh --files   the same below another folder, for packages
#
#   AGOGO_HOSTS      names and addresses that people reach this machine by   (default: localhost,127.0.0.1)
#   AGOGO_ADMIN_DSN  an administrator of the database                         (default: a role agogo_admin is made in the system's Postgres)
set -eu
umask 077

here=$(cd "$(dirname "$0")" && pwd)
bin=${AGOGO_BIN:-$here/../../bin}
root=${DESTDIR:-}
etc=$root/etc/agogo
lib=$root/usr/local/lib/agogo
hosts=${AGOGO_HOSTS:-localhost,127.0.0.1}
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
"$bin/agogo" provision keys --dir "$keys" --host "$hosts"
"$bin/agogo" provision nats-conf --dir "$keys" > "$etc/nats-accounts.conf"
chmod 0644 "$etc/nats-accounts.conf" # public keys and subjects: nothing secret
for s in $services; do
  [ -e "$etc/$s.env" ] || cat > "$etc/$s.env" <<END
AGOGO_POSTGRES_DSN=postgres://agogo_$s@localhost:5432/agogo
AGOGO_GRPC_ADDR=127.0.0.1:710$(port "$s")
AGOGO_HTTP_ADDR=127.0.0.1:810$(port "$s")
END
done
if [ ! -e "$etc/secrets.env" ]; then
  {
    say "# What the tenants file takes from the environment: credentials of providers, and tokens of people (auth.tokens)."
    for t in admin operator approver approver2; do
      printf 'AGOGO_TOKEN_%s=%s\n' "$(printf %s "$t" | tr a-z A-Z)" "$(cat "$keys/tokens/$t")"
    done
  } > "$etc/secrets.env"
  cat >> "$etc/tenants.yaml" <<'END'

auth:
  tokens:
    - {name: admin, role: admin, tenants: ["*"], token: "${AGOGO_TOKEN_ADMIN}"}
    - {name: operator, role: operator, tenants: ["*"], token: "${AGOGO_TOKEN_OPERATOR}"}
    - {name: approver, role: approver, tenants: ["*"], token: "${AGOGO_TOKEN_APPROVER}"}
    - {name: approver2, role: approver, tenants: ["*"], token: "${AGOGO_TOKEN_APPROVER2}"}
END
fi
"$bin/agogo" provision context --dir "$keys" --host localhost > "$etc/context.json"
say "files are in ${etc}"
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
systemctl reload-or-restart agogo-nats.service
AGOGO_POSTGRES_DSN=$AGOGO_ADMIN_DSN "$bin/agogo" provision apply --keys "$keys" --nats-url tls://localhost:4222 --nats-ca "$keys/tls/ca.crt"

# --- services, the one that wakes the others last
for s in payouts recurrences notifier scheduler; do
  systemctl enable -q "agogo@$s.service"
  systemctl restart "agogo@$s.service"
done
AGOGO_CONTEXT=$etc/context.json "$bin/agogo" doctor || say "not everything is ready yet; see: journalctl --namespace=agogo -e"
say "Agogo runs. Next: edit $etc/tenants.yaml and $etc/secrets.env, then: systemctl restart agogo.target"
say "Commands find it by: export AGOGO_CONTEXT=$etc/context.json"
