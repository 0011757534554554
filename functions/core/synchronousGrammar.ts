/** The grammar of `synchronous_standby_names` (PostgreSQL: syncrep_gram.y and syncrep_scanner.l). */

export type SynchronousNames =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'list'
      readonly method: 'ANY' | 'FIRST'
      readonly k: number
      readonly names: readonly string[]
    }
  | { readonly kind: 'unparseable'; readonly reason: string }

type Token = { readonly type: 'name' | 'number' | 'any' | 'first' | 'mark'; readonly text: string }

/** Names keep their case; `*` (quoted or not) stays `*`, as the server treats both as a wildcard. */
export function parseSynchronousNames(text: string): SynchronousNames {
  if (/^[ \t\n\r\f\v]*$/.test(text)) return { kind: 'none' }
  const tokens = scan(text)
  if (typeof tokens === 'string') return { kind: 'unparseable', reason: tokens }
  const head = readHead(tokens)
  if (!head) return list('FIRST', 1, tokens)
  const inside = tokens.slice(head.length)
  if (inside.at(-1)?.text !== ')' || inside.at(-1)?.type !== 'mark') {
    return { kind: 'unparseable', reason: 'the list is not closed' }
  }
  if (!(head.k >= 1 && head.k <= 2 ** 31 - 1)) {
    return { kind: 'unparseable', reason: `${head.k} is not a number of standbys` }
  }
  return list(head.method, head.k, inside.slice(0, -1))
}

/** `ANY n (`, `FIRST n (` or `n (`; undefined for a plain list. */
function readHead(tokens: readonly Token[]) {
  const [first, second, third] = tokens
  const opens = (token: Token | undefined) => token?.type === 'mark' && token.text === '('
  if (first?.type === 'number' && opens(second)) {
    return { method: 'FIRST' as const, k: Number(first.text), length: 2 }
  }
  if ((first?.type === 'any' || first?.type === 'first') && second?.type === 'number' && opens(third)) {
    return {
      method: first.type === 'any' ? ('ANY' as const) : ('FIRST' as const),
      k: Number(second.text),
      length: 3,
    }
  }
  return undefined
}

function list(method: 'ANY' | 'FIRST', k: number, tokens: readonly Token[]): SynchronousNames {
  const names: string[] = []
  for (const [index, token] of tokens.entries()) {
    const wantsName = index % 2 === 0
    if (wantsName && (token.type === 'name' || token.type === 'number')) names.push(token.text)
    else if (wantsName || token.type !== 'mark' || token.text !== ',') {
      return { kind: 'unparseable', reason: `unexpected ${JSON.stringify(token.text)}` }
    }
  }
  if (tokens.length % 2 === 0) return { kind: 'unparseable', reason: 'a name is missing' }
  return { kind: 'list', method, k, names }
}

/** Returns the tokens, or the reason why there are none. */
function scan(text: string): readonly Token[] | string {
  const pattern =
    /[ \t\n\r\f\v]+|"((?:[^"]|"")*)"|([A-Za-z_\u0080-\u{10FFFF}][A-Za-z_0-9$\u0080-\u{10FFFF}]*)|([0-9]+)|([*(),])/uy
  const tokens: Token[] = []
  while (pattern.lastIndex < text.length) {
    const at = pattern.lastIndex
    const match = pattern.exec(text)
    if (!match) return `unexpected ${JSON.stringify(text.slice(at, at + 10))}`
    const [, quoted, word, number, mark] = match
    if (quoted !== undefined) tokens.push({ type: 'name', text: quoted.replaceAll('""', '"') })
    else if (word !== undefined) tokens.push(wordToken(word))
    else if (number !== undefined) tokens.push({ type: 'number', text: number })
    else if (mark === '*') tokens.push({ type: 'name', text: '*' })
    else if (mark !== undefined) tokens.push({ type: 'mark', text: mark })
  }
  return tokens
}

function wordToken(word: string): Token {
  const lower = word.toLowerCase()
  if (lower === 'any') return { type: 'any', text: word }
  if (lower === 'first') return { type: 'first', text: word }
  return { type: 'name', text: word }
}
