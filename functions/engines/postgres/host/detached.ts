/**
 * Runs a script so that it outlives the command that brought it: a copy may take hours, a command of the agent has its
 * time-out, and a copy that is cut off would begin anew each minute.
 */

/** How long the command waits for the script before it leaves it alone. */
const waitSeconds = 20

/**
 * Answers as the script does when it ends in time. Else `outcome=refused under way` (exit 65): the script goes on, its
 * lock turns away a second run, and a later run of the same script finds what is done.
 */
export function detached(script: string): string {
  const end = 'UNDERSTUDY_END_OF_SCRIPT'
  if (script.includes(end)) throw new Error(`a script may not hold ${end}`)
  return `set -eu
umask 077
job=$(mktemp -d "\${TMPDIR:-/tmp}/understudy-job.XXXXXX")
cat > "$job/script" <<'${end}'
${script}
${end}
cat > "$job/run" <<'${end}'
sh "$1/script" > "$1/out" 2> "$1/err" < /dev/null
code=$?
echo "$code" > "$1/code.new"
mv "$1/code.new" "$1/code"
# Nobody waits any more: nobody else will clear up.
if [ -e "$1/left" ]; then rm -rf "$1"; fi
${end}
if command -v setsid > /dev/null 2>&1; then setsid sh "$job/run" "$job" > /dev/null 2>&1 < /dev/null &
else nohup sh "$job/run" "$job" > /dev/null 2>&1 < /dev/null & fi
waited=0
until [ -e "$job/code" ]; do
  if [ "$waited" -ge ${waitSeconds * 10} ]; then
    : > "$job/left"
    if [ ! -e "$job/code" ]; then
      echo 'refused: under way, it goes on by itself'
      echo 'outcome=refused under way'
      exit 65
    fi
  fi
  waited=$((waited + 1))
  sleep 0.1
done
code=$(cat "$job/code")
cat "$job/out"
cat "$job/err" >&2
rm -rf "$job"
exit "$code"
`
}
