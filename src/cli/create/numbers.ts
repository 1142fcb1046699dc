/** Numbers of `run` that are neither plain integers nor sizes. */

/** A decimal, exponent or fraction ("1.5", "3/2") in billionths, exactly. Throws an Error with Docker's words. */
export function nanoCpus(text: string): number {
  const match = /^([+-]?)(?:(\d+)\/(\d+)|(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?)$/.exec(text);
  const failure = new Error(`failed to parse ${text} as a rational number`);
  if (!match) throw failure;
  const [, sign, above, below, whole = "", part = "", exponent = "0"] = match;
  let value: { numerator: bigint; denominator: bigint };
  if (above !== undefined && below !== undefined) {
    if (BigInt(below) === 0n) throw failure;
    value = { numerator: BigInt(above), denominator: BigInt(below) };
  } else {
    if (whole + part === "" || Math.abs(Number(exponent)) > 300) throw failure;
    const power = Number(exponent) - part.length;
    value = { numerator: BigInt(whole + part) * 10n ** BigInt(Math.max(power, 0)), denominator: 10n ** BigInt(Math.max(-power, 0)) };
  }
  const billionths = value.numerator * 1_000_000_000n;
  if (billionths % value.denominator !== 0n) throw new Error("value is too precise");
  return Number(billionths / value.denominator) * (sign === "-" ? -1 : 1);
}
