/** JSON.parse, but whole numbers that a double would round become bigint (64-bit values such as system call arguments and RLIM_INFINITY). */
export function parseKeepingBigIntegers(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, context?: { source?: string }) => {
    if (typeof value !== "number" || Number.isSafeInteger(value) || context?.source === undefined) return value;
    return /^-?\d+$/.test(context.source) ? BigInt(context.source) : value;
  });
}
