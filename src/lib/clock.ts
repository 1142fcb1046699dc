/** The wall clock, finer than Date.now() has it. */

/** How far the fine clock may be from the wall clock before it follows: someone set the clock, or it drifted. */
const TOLERANCE_MILLISECONDS = 2;
let offset = performance.timeOrigin;

/** Nanoseconds since 1970, in steps of a microsecond. Goes back only when the wall clock does. */
export function nowNanoseconds(): bigint {
  const elapsed = performance.now();
  const wall = Date.now();
  if (Math.abs(offset + elapsed - wall) > TOLERANCE_MILLISECONDS) offset = wall - elapsed;
  return BigInt(Math.round((offset + elapsed) * 1000)) * 1000n;
}
