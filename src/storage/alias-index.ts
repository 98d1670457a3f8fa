import type { Alias } from '../kms/alias.ts'

/** Every alias, found by ARN, by key, and by account and region. Lists of a region are sorted when somebody asks. */
export class AliasIndex {
  readonly #byArn = new Map<string, Alias>()
  readonly #byKey = new Map<string, readonly Alias[]>()
  readonly #scopes = new Map<string, AliasScope>()

  find(arn: string): Alias | undefined {
    return this.#byArn.get(arn)
  }

  of(keyArn: string): readonly Alias[] {
    return this.#byKey.get(keyArn) ?? NONE
  }

  in(accountId: string, region: string): readonly Alias[] {
    const scope = this.#scopes.get(scopeName({ accountId, region }))
    if (!scope) return NONE
    scope.sorted ??= [...scope.aliases.values()].sort(byAliasName)
    return scope.sorted
  }

  put(alias: Alias): void {
    this.remove(alias.arn)
    this.#byArn.set(alias.arn, alias)
    const { targetKeyArn } = alias
    this.#byKey.set(targetKeyArn, [...this.of(targetKeyArn), alias].sort(byAliasName))
    const scope = this.#scopes.get(scopeName(alias)) ?? { aliases: new Map(), sorted: undefined }
    this.#scopes.set(scopeName(alias), scope)
    scope.aliases.set(alias.arn, alias)
    scope.sorted = undefined
  }

  remove(arn: string): void {
    const alias = this.#byArn.get(arn)
    if (!alias) return
    this.#byArn.delete(arn)
    const others = this.of(alias.targetKeyArn).filter((other) => other.arn !== arn)
    if (others.length > 0) this.#byKey.set(alias.targetKeyArn, others)
    else this.#byKey.delete(alias.targetKeyArn)
    const scope = this.#scopes.get(scopeName(alias))
    if (!scope) return
    scope.aliases.delete(arn)
    scope.sorted = undefined
  }

  removeOf(keyArn: string): void {
    for (const { arn } of this.of(keyArn)) this.remove(arn)
  }
}

/** The aliases of one account in one region. */
interface AliasScope {
  readonly aliases: Map<string, Alias>
  sorted: readonly Alias[] | undefined
}

const NONE: readonly Alias[] = []

export function byAliasName(a: Alias, b: Alias): number {
  return a.aliasName < b.aliasName ? -1 : 1
}

function scopeName({ accountId, region }: Pick<Alias, 'accountId' | 'region'>): string {
  return `${accountId}/${region}`
}
