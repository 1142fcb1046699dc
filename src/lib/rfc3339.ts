/** Times as Docker prints them. */

/** What Go prints for a time that never was. */
export const NEVER = "0001-01-01T00:00:00Z";

/** RFC 3339 in UTC with as many decimals as needed, of nanoseconds since 1970; 0 is never. */
export function rfc3339Nano(nanoseconds: bigint): string {
  if (nanoseconds === 0n) return NEVER;
  let fraction = nanoseconds % 1_000_000_000n;
  if (fraction < 0n) fraction += 1_000_000_000n;
  const seconds = (nanoseconds - fraction) / 1_000_000_000n;
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  const decimals = String(fraction).padStart(9, "0").replace(/0+$/, "");
  return `${whole}${decimals === "" ? "" : `.${decimals}`}Z`;
}
