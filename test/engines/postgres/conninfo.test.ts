import { describe, expect, it } from 'vitest'
import {
  formatConninfo,
  frozenConninfo,
  frozenPrefix,
  parseConninfo,
  parseFreeze,
  parseMark,
  replaceUpstream,
  withoutSecrets,
} from '../../../functions/engines/postgres/conninfo.ts'

const object = (text: string) => Object.fromEntries(parseConninfo(text))

describe('parseConninfo', () => {
  it('reads quoting, escapes and blanks around the equals sign', () => {
    expect(object(`host = 10.0.0.1 port=5432 password='it''s'`)).toEqual({ host: '10.0.0.1', port: '5432' })
    expect(object(String.raw`password='it\'s \\ here' sslmode=require a=x\ y`)).toEqual({
      password: String.raw`it's \ here`,
      sslmode: 'require',
      a: 'x y',
    })
    expect(object(`passfile='' user=u`)).toEqual({ passfile: '', user: 'u' })
  })

  it('reads URIs, with several hosts and parameters', () => {
    expect(
      object('postgresql://rep:p%40ss@h1:5432,h2:5433/db?sslmode=verify-full&application_name=b'),
    ).toEqual({
      host: 'h1,h2',
      port: '5432,5433',
      user: 'rep',
      password: 'p@ss',
      dbname: 'db',
      sslmode: 'verify-full',
      application_name: 'b',
    })
  })

  it('S7 throws on nothing: the setting of a primary, which nobody uses, must not make it look broken', () => {
    expect(object('postgresql://rep:p%w@h/db')).toEqual({
      host: 'h',
      user: 'rep',
      password: 'p%w',
      dbname: 'db',
    })
    expect(withoutSecrets('postgresql://rep:p%w@h/')).toBe('host=h user=rep')
    expect(object('postgresql://rep:a/b@h/')).toEqual({})
  })

  it('reads passwords as libpq does', () => {
    expect(object('postgres://u:a:b%3Ac@h').password).toBe('a:b:c')
    expect(object('postgres://h/?password=a+b').password).toBe('a+b')
    expect(object(`password=a'b user='u'host=h\u00a0`)).toEqual({
      password: "a'b",
      user: 'u',
      host: 'h\u00a0',
    })
  })

  it('formats what it parsed', () => {
    const options = new Map([
      ['host', '/var/run/my sockets'],
      ['password', String.raw`'\ `],
      ['empty', ''],
    ])
    expect([...parseConninfo(formatConninfo(options))]).toEqual([...options])
  })
})

describe('the freeze', () => {
  const old = `user=rep hostaddr=10.0.0.1 host=a port=5433 service=x passfile=/p password='s t' sslmode=require application_name=b`
  const mark = { deployment: 'my_prod', term: 12 }

  it('names a host, leaves no other way to connect, and keeps what signing in needs', () => {
    const frozen = frozenConninfo(old, mark)
    expect(frozen.startsWith(`${frozenPrefix(mark)} `)).toBe(true)
    expect(object(frozen)).toEqual({
      host: '/understudy-frozen',
      application_name: 'understudy_my_prod_12',
      user: 'rep',
      passfile: '/p',
      password: 's t',
      sslmode: 'require',
    })
    expect(parseFreeze(frozen)).toEqual(mark)
  })

  it('is known by its host, its mark also by the fallback name of a follower', () => {
    const follower = 'host=b application_name=c fallback_application_name=understudy_prod_7'
    expect(parseFreeze(follower)).toBeNull()
    expect(parseMark(follower)).toEqual({ deployment: 'prod', term: 7 })
    expect(parseMark('host=b application_name=c user=understudy_replication_1')).toBeNull()
  })

  it('S2 is none where something wins over its host', () => {
    const frozen = frozenConninfo(old, mark)
    for (const added of ['hostaddr=10.0.0.1', 'service=main', 'host=10.0.0.1'])
      expect(parseFreeze(`${frozen} ${added}`)).toBeNull()
  })

  it('is replaced by an upstream without a trace of the old one', () => {
    expect(
      formatConninfo(
        replaceUpstream(old, [
          ['host', 'n'],
          ['user', 'new'],
        ]),
      ),
    ).toBe(`host=n user=new passfile=/p password='s t' sslmode=require`)
  })

  it('shows no secret', () => {
    expect(withoutSecrets(old)).not.toMatch(/s t|password/)
    expect(withoutSecrets('postgresql://rep:topsecret@h/db')).not.toContain('topsecret')
  })
})
