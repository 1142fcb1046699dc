/** An object's own property: names that come from outside ("constructor", "__proto__") must not reach what it inherits. */
export function lookup<Value>(table: Readonly<Record<string, Value>>, key: string): Value | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
