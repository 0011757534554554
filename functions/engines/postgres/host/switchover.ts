/** The write-stop of a switchover, and its undoing before a target is recorded. */
import { type HostScript, scriptOf } from './library.ts'

/**
 * Stops a running primary cleanly, and starts it again in recovery, frozen for this term: the evidence of S2. Prints
 * `checkpoint=<bytes>`, the location of the shutdown checkpoint: a standby whose position is beyond it has all that was
 * ever written. Refuses a server that is not a running primary, unless this very term stopped it. Idempotent.
 */
export function stopWritesScript(script: HostScript): string {
  return scriptOf(
    script,
    `take_lock
look_around
read_mark
stopped_term=$(cat "$stopped_aside/term" 2>/dev/null || echo 0)
if running; then
  case $(control_state) in
    6)
      # Aside before anything changes: what resume needs, and the proof that the stop was ours.
      rm -rf "$stopped_aside"
      mkdir "$stopped_aside"
      if [ -f "$data/postgresql.auto.conf" ]; then cp -p "$data/postgresql.auto.conf" "$stopped_aside/"; fi
      echo "$term" > "$stopped_aside/term"
      durable "$stopped_aside/term" "$stopped_aside"
      stop_and_wait ;;
    5)
      [ "$stopped_term" = "$term" ] && [ "$mark_term" = "$term" ] || refuse 'the server is in recovery and was not stopped for this term'
      echo "checkpoint=$(cat "$stopped_aside/checkpoint")"
      finish 'already: in recovery, frozen for this term' ;;
    *)
      [ "$stopped_term" = "$term" ] || refuse 'the server starts or stops, and not by this term'
      stop_and_wait ;;
  esac
else
  [ "$stopped_term" = "$term" ] || refuse 'the server is stopped, and not by this term'
fi
# Nothing is stopped for this term unless the shutdown wrote its checkpoint: only that one ends the log.
if [ ! -f "$stopped_aside/checkpoint" ]; then
  state=$(control_state)
  [ "$state" = 1 ] || fail "the server did not shut down cleanly (state $state)"
  control_checkpoint > "$stopped_aside/checkpoint.new"
  durable "$stopped_aside/checkpoint.new"
  mv "$stopped_aside/checkpoint.new" "$stopped_aside/checkpoint"
fi
freeze_files "$data"
start_and_wait 5
echo "checkpoint=$(cat "$stopped_aside/checkpoint")"
finish 'stopped cleanly, in recovery, frozen for this term'
`,
  )
}

/**
 * Undoes a write-stop of this or an older term before a target is recorded: the server runs as the primary that it was.
 * Refuses a newer mark, and a server that is down or in recovery for another reason. Idempotent.
 */
export function resumeWritesScript(script: HostScript): string {
  return scriptOf(
    script,
    `take_lock
look_around
read_mark
stopped_term=$(cat "$stopped_aside/term" 2>/dev/null || echo 0)
[ "$stopped_term" -le "$term" ] || refuse "the server was stopped for the newer term $stopped_term"
restore_conf() {
  if [ -f "$stopped_aside/postgresql.auto.conf" ]; then
    cp -p "$stopped_aside/postgresql.auto.conf" "$data/postgresql.auto.conf.understudy"
  else
    : > "$data/postgresql.auto.conf.understudy"
  fi
  own "$data/postgresql.auto.conf.understudy"
  durable "$data/postgresql.auto.conf.understudy"
  mv "$data/postgresql.auto.conf.understudy" "$data/postgresql.auto.conf"
}
if running && [ "$(control_state)" = 6 ]; then
  if [ "$stopped_term" = 0 ]; then finish 'already: the server is the primary'; fi
  # A run that died before its stop, or after its start.
  restore_conf
  rm -rf "$stopped_aside"
  finish 'already: the server is the primary again'
fi
[ "$stopped_term" -gt 0 ] || refuse 'no write-stop of ours is recorded on this host'
if running; then
  case $conninfo in "host=$frozen_host "*) ;; *) refuse 'the server follows somebody: it is no write-stop any more' ;; esac
  stop_and_wait
fi
# The signal file goes first: a host that reboots between the two starts the primary, as is wanted.
rm -f "$data/standby.signal"
durable "$data"
restore_conf
start_and_wait 6
rm -rf "$stopped_aside"
finish 'the server is the primary again'
`,
  )
}
