/**
 * What the scripts on a node's host have in common. POSIX sh (dash), coreutils, and of PostgreSQL only `pg_ctl`'s like,
 * since the scripts compare on the host by what is on its disk: `pg_control`, `postgresql.auto.conf`, /proc.
 *
 * The mark: `application_name` or `fallback_application_name` `understudy_<deployment>_<term>` in the `primary_conninfo`
 * of `postgresql.auto.conf`. Whatever touched the node last, by SQL or by a script, left its term there.
 */
import { freezeName, frozenHost } from '../../../core/limits.ts'
import type { HostConfig, NodeId } from '../../../core/types.ts'

export interface HostScript {
  readonly deployment: string
  readonly term: number
  readonly node: NodeId
  readonly host: HostConfig
}

/** Exit code of a comparison that failed: certainly nothing was changed on the way to it that matters. */
export const refusedExitCode = 65

export function quoteShell(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

/** `{node}` was filled in before (`hostOf` of the core); the directories stand in the commands by name. */
function fillIn({ host }: HostScript): HostConfig {
  const dataDirectory = host.dataDirectory.replace(/\/+$/, '')
  const fill = (command: string) =>
    command.replaceAll('{dataDirectory}', dataDirectory).replaceAll('{binDirectory}', host.binDirectory)
  return {
    ...host,
    dataDirectory,
    startCommand: fill(host.startCommand),
    stopCommand: fill(host.stopCommand),
  }
}

export function scriptOf(script: HostScript, body: string): string {
  const host = fillIn(script)
  return `# Understudy, node ${script.node.replaceAll(/[^\w.-]/g, '_')}, term ${script.term}
set -eu
umask 077
cd /
deployment=${quoteShell(script.deployment)}
term=${script.term}
mark=${quoteShell(freezeName(script.deployment, script.term))}
data=${quoteShell(host.dataDirectory)}
bin=${quoteShell(host.binDirectory)}
os_user=${quoteShell(host.osUser ?? '')}
frozen_host=${quoteShell(frozenHost)}
stopped_aside="$data.understudy-stop"
old="$data.understudy-$term"
new="$data.understudy-$term-new"
rewinding="$data.understudy-$term-rewind"
start_server() { { ${host.startCommand}
  } </dev/null 1>&2; }
stop_server() { { ${host.stopCommand}
  } </dev/null 1>&2; }
${library}
${body}`
}

/** Shell functions; each says why it is as it is where that is not plain. */
const library = String.raw`
refuse() { echo "refused: $*"; echo "outcome=refused $*"; exit 65; }
fail() { echo "failed: $*"; exit 1; }
finish() { echo "outcome=done $*"; exit 0; }

as_owner() {
  if [ -z "$os_user" ] || [ "$(id -un)" = "$os_user" ]; then "$@"
  elif command -v runuser >/dev/null 2>&1; then runuser -u "$os_user" -- "$@"
  else sudo -n -u "$os_user" -- "$@"; fi
}
# Files that root makes must belong to the server's user, who is the owner of the data directory.
own() {
  if [ "$(id -u)" = 0 ]; then chown "$owner" "$@"; fi
}
durable() { sync "$@" 2>/dev/null || sync; }

# One command at a time on a host; a lock whose holder is gone, or of an earlier boot, is void.
take_lock() {
  lock="$data.understudy-lock"
  boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo none)
  tries=0
  until mkdir "$lock" 2>/dev/null; do
    holder_boot='' holder_pid=''
    if [ -f "$lock/holder" ]; then read -r holder_boot holder_pid < "$lock/holder" || true; fi
    if [ -z "$holder_pid" ]; then [ "$tries" -lt 5 ] || rm -rf "$lock"
    elif [ "$holder_boot" != "$boot" ] || ! kill -0 "$holder_pid" 2>/dev/null; then rm -rf "$lock"
    elif [ "$tries" -ge 10 ]; then refuse "another command is at work on this host (process $holder_pid)"; fi
    tries=$((tries + 1))
    sleep 0.2
  done
  echo "$boot $$" > "$lock/holder"
  trap 'rm -rf "$lock"' EXIT
  trap 'exit 143' HUP INT TERM
}

# Every process whose working directory is the data directory; a postmaster's pid file alone says too little: its
# number may be another program's by now, and backends outlive a killed postmaster.
server_pids() {
  if [ -d /proc/self ]; then
    ls -l /proc/[0-9]*/cwd 2>/dev/null | while IFS= read -r line; do
      case $line in *"/cwd -> $1") line=$(printf '%s' "$line" | sed 's|.* /proc/\([0-9]*\)/cwd -> .*|\1|'); echo "$line" ;; esac
    done
  else
    pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null || echo '')
    if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
      echo "$pid"
      ps -axo pid=,ppid= | awk -v parent="$pid" '$2 == parent { print $1 }'
    fi
  fi
}
running() { [ -n "$(server_pids "$real")" ]; }
# Only a receiver that was sent something has a location in its title; one that is turned away again and again has not.
streams() {
  for pid in $(server_pids "$real"); do
    case $(ps -o args= -p "$pid" 2>/dev/null) in *walreceiver*streaming*) return 0 ;; esac
  done
  return 1
}

# ControlFileData: state at byte 16 (1 shut down, 2 shut down in recovery, 5 in recovery, 6 in production), the
# location of the last checkpoint at byte 32. Same in every version since 9.3; src/include/catalog/pg_control.h
control_state() { od -An -tu4 -j16 -N4 "$data/global/pg_control" | tr -d ' \n'; }
control_checkpoint() { od -An -tu8 -j32 -N8 "$data/global/pg_control" | tr -d ' \n'; }

conninfo_of() { sed -n "s/^primary_conninfo *= *'\(.*\)' *$/\1/p" "$1/postgresql.auto.conf" 2>/dev/null | tail -n 1; }

# mark_term: the term of this deployment's mark, 0 without one. Another deployment's mark refuses.
read_mark() {
  conninfo=$(conninfo_of "$data")
  mark_term=0
  for option in $(set -f; echo $conninfo); do
    case $option in
      application_name=understudy_*_[0-9]*|fallback_application_name=understudy_*_[0-9]*)
        name=$(printf '%s' "$option" | sed "s/^[a-z_]*=//")
        found=$(printf '%s' "$name" | sed 's/.*_//')
        [ "$name" = "understudy_$(printf '%s' "$deployment")_$found" ] || refuse "the server carries the mark of another deployment: $name"
        [ "$found" -le "$mark_term" ] || mark_term=$found ;;
    esac
  done
  [ "$mark_term" -le "$term" ] || refuse "the server carries the mark of the newer term $mark_term"
}

# What of the old conninfo the server needs to sign in; only values without quotes.
kept_options() {
  for option in $(set -f; echo $conninfo); do
    case $option in
      *\'*|*\\*) ;;
      passfile=*|password=*|sslmode=*|sslrootcert=*|sslcert=*|sslkey=*|sslcrl=*|channel_binding=*|require_auth=*|gssencmode=*) printf ' %s' "$option" ;;
    esac
  done
}

# write_conf <directory> <conninfo> <restore_command or -> <synchronous_standby_names or ->: '-' keeps the line.
# A freeze left restore_command = '' here; without that line the one of postgresql.conf holds again.
write_conf() {
  conf="$1/postgresql.auto.conf"
  {
    if [ -f "$conf" ]; then
      grep -v -e '^primary_conninfo *=' -e "^restore_command *= *'' *$" "$conf" | {
        if [ "$3" = - ]; then cat; else grep -v '^restore_command *=' || true; fi
      } | {
        if [ "$4" = - ]; then cat; else grep -v '^synchronous_standby_names *=' || true; fi
      } || true
    fi
    echo "primary_conninfo = '$(printf '%s' "$2" | sed "s/'/''/g")'"
    if [ "$3" != - ]; then echo "restore_command = '$3'"; fi
    if [ "$4" != - ]; then echo "synchronous_standby_names = '$4'"; fi
  } > "$conf.understudy"
  chmod 600 "$conf.understudy"
  own "$conf.understudy"
  durable "$conf.understudy"
  mv "$conf.understudy" "$conf"
}

# freeze_files <directory>. The signal file first: from here on whoever starts this server gets a standby, frozen
# for this term.
freeze_files() {
  : > "$1/standby.signal"
  own "$1/standby.signal"
  rm -f "$1/recovery.signal"
  write_conf "$1" "host=$frozen_host application_name=$mark$(kept_options)" '' -
  durable "$1/standby.signal" "$1"
}

start_and_wait() {
  start_server || true
  waited=0
  until running && [ "$(control_state)" = "$1" ]; do
    [ "$waited" -lt 300 ] || fail "the server did not come up: state $(control_state), wanted $1"
    waited=$((waited + 1))
    sleep 0.1
  done
}
stop_and_wait() {
  if running; then stop_server || true; fi
  waited=0
  while running; do
    [ "$waited" -lt 300 ] || fail "the server did not stop in 30 s"
    waited=$((waited + 1))
    sleep 0.1
  done
}

find_owner() {
  for each in "$data" "$rewinding" "$old" "$new"; do
    if [ -d "$each" ]; then owner=$(ls -ldn "$each" | awk '{print $3 ":" $4}'); return; fi
  done
  refuse "there is no data directory $data on this host"
}
look_around() {
  find_owner
  real=$( (cd "$(dirname "$data")" && printf '%s/%s' "$(pwd -P)" "$(basename "$data")") )
  if [ -L "$data" ]; then real=$(cd "$data" && pwd -P); fi
}
`
