/** Makes an old primary, or a standby that diverged, a standby of the new primary (S11). */
import { formatConninfo } from '../conninfo.ts'
import { type HostScript, quoteShell, scriptOf } from './library.ts'

export interface RejoinScript extends HostScript {
  readonly upstream: { readonly address: string; readonly port: number }
  readonly replicationUser: string
  /** A name outside every synchronous list: it is listed later, once seen streaming. */
  readonly applicationName: string
}

/**
 * Refuses unless the server there is stopped, or in recovery with the mark of this or an older term of this deployment;
 * a newer mark refuses always. Idempotent: a second run finds what is done and goes on from there. Prints
 * `outcome=done already | rewound | copied`; the server then runs in recovery, which does not mean that it streams.
 *
 * The server may not start as a primary at any moment: the signal file and the mark are written first; a rewind works
 * in a directory moved away from where the server is started; a copy is made beside and configured before it takes the
 * place. The old data stays as `<dataDirectory>.understudy-<term>` until `discardOldDataScript`.
 */
export function rejoinScript(script: RejoinScript): string {
  const upstream = formatConninfo(
    new Map([
      ['host', script.upstream.address],
      ['port', String(script.upstream.port)],
      ['user', script.replicationUser],
    ]),
  )
  return scriptOf(
    script,
    `upstream=${quoteShell(upstream)}
follow="$upstream application_name=${script.applicationName.replaceAll(/[^\w.-]/g, '_')} fallback_application_name=$mark connect_timeout=2 keepalives_idle=5 keepalives_interval=2 keepalives_count=3"
${body}`,
  )
}

const body = String.raw`
take_lock
look_around
# The agent kills a script that takes too long, not what the script started.
if ps -eo args= | grep -F -e "-D $new" -e "--target-pgdata=$rewinding" | grep -v grep >/dev/null; then
  refuse 'a copy of an earlier command is under way'
fi

# A run that died between moving the old data away and moving the new in.
if [ ! -d "$data" ]; then
  if [ -f "$new/understudy.ready" ]; then mv "$new" "$data"
  elif [ -d "$rewinding" ]; then
    : > "$rewinding/understudy.half"
    conninfo=''
    freeze_files "$rewinding"
    mv "$rewinding" "$data"
  elif [ -d "$old" ]; then mv "$old" "$data"
  else refuse "there is no data directory $data on this host"; fi
fi
read_mark
state=$(control_state)
made=no
if [ "$(cat "$data/understudy.ready" 2>/dev/null || true)" = "$mark $upstream" ]; then made=yes; fi

if running; then
  [ "$state" = 5 ] || refuse "the server is not in recovery (state $state)"
  [ "$mark_term" -gt 0 ] || refuse 'the server is in recovery and carries no mark of ours'
fi
if [ "$made" = yes ] && [ "$mark_term" = "$term" ] && [ -f "$data/standby.signal" ]; then
  # Made by an earlier run of this term; what does not stream in time is made anew.
  running || start_and_wait 5
  waited=0
  while [ "$waited" -lt 100 ]; do
    if streams; then finish 'already: streams'; fi
    waited=$((waited + 1))
    sleep 0.1
  done
fi
freeze_files "$data"
stop_and_wait

# The node's own files, whatever the source's look like (Debian keeps them elsewhere, then there are none here). Of the
# first run: a half rewound directory holds the source's.
kept="$data.understudy-$term-conf"
if [ ! -d "$kept" ]; then
  rm -rf "$kept.new"
  mkdir "$kept.new"
  for file in postgresql.conf pg_hba.conf pg_ident.conf postgresql.auto.conf; do
    if [ -f "$data/$file" ]; then cp -p "$data/$file" "$kept.new/$file"; fi
  done
  durable "$kept.new"
  mv "$kept.new" "$kept"
fi
# configure <directory>
configure() {
  for file in postgresql.conf pg_hba.conf pg_ident.conf postgresql.auto.conf; do
    if [ -f "$kept/$file" ]; then
      cp -p "$kept/$file" "$1/$file"
      own "$1/$file"
    fi
  done
  rm -f "$1/recovery.signal" "$1/understudy.half"
  : > "$1/standby.signal"
  own "$1/standby.signal"
  write_conf "$1" "$follow$(kept_options)" - ''
  durable "$1/standby.signal" "$1/postgresql.auto.conf"
  echo "$mark $upstream" > "$1/understudy.ready"
  own "$1/understudy.ready"
  durable "$1/understudy.ready" "$1"
}

rewind() {
  [ -x "$bin/pg_rewind" ] && [ ! -f "$data/understudy.half" ] || return 1
  # It wants a clean shutdown, and its own crash recovery refuses a standby: recover frozen, then stop.
  case $(control_state) in 1 | 2) ;; *)
    start_and_wait 5
    stop_and_wait ;;
  esac
  # Away from where the server is started: what is half rewound, without its signal file, would be a primary.
  mv "$data" "$rewinding" || fail 'the data directory can not be moved'
  if as_owner "$bin/pg_rewind" --target-pgdata="$rewinding" --no-ensure-shutdown \
    --source-server="$upstream dbname=postgres connect_timeout=5$(kept_options)" 1>&2 </dev/null; then
    configure "$rewinding" || fail 'the rewound directory could not be configured'
    mv "$rewinding" "$data" || fail 'the data directory can not be moved back'
    durable "$(dirname "$data")"
    return 0
  fi
  : > "$rewinding/understudy.half"
  freeze_files "$rewinding" || fail 'the half rewound directory could not be marked'
  mv "$rewinding" "$data" || fail 'the data directory can not be moved back'
  return 1
}

how=rewound
if ! rewind; then
  how=copied
  rm -rf "$new"
  as_owner "$bin/pg_basebackup" -D "$new" -d "$upstream application_name=$mark connect_timeout=5$(kept_options)" \
    -X stream --checkpoint=fast --no-password 1>&2 </dev/null || fail 'pg_basebackup from the upstream failed'
  configure "$new"
  ! running || fail 'the server was started meanwhile'
  # The first data that was moved aside is the one worth keeping: later ones are copies of this term.
  aside="$old"
  number=1
  while [ -e "$aside" ]; do
    aside="$old.$number"
    number=$((number + 1))
  done
  mv "$data" "$aside"
  mv "$new" "$data"
  durable "$(dirname "$data")"
fi
rm -rf "$kept"
start_and_wait 5
finish "$how from the upstream"
`

/**
 * Deletes the data that a rejoin moved aside, of this or an older term. Refuses unless the server there runs in
 * recovery and its WAL receiver streams.
 */
export function discardOldDataScript(script: HostScript): string {
  return scriptOf(
    script,
    String.raw`take_lock
look_around
read_mark
running || refuse 'the server does not run'
[ "$(control_state)" = 5 ] || refuse 'the server is not in recovery'
streams || refuse 'the new copy does not stream'
count=0
for each in "$data".understudy-[0-9]*; do
  [ -d "$each" ] || continue
  number=$(printf '%s' "$each" | sed 's/.*\.understudy-\([0-9]*\).*/\1/')
  [ -n "$number" ] && [ "$number" -le "$term" ] || continue
  [ -z "$(server_pids "$each")" ] || refuse "a server runs in $each"
  rm -rf "$each"
  count=$((count + 1))
done
finish "discarded $count"
`,
  )
}
