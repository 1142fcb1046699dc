/** The order of names that people number: "n2" before "n10"; figures before other characters, which go by their code. */
export function naturalOrder(one: string, other: string): number {
  const [left, right] = [tokens(one), tokens(other)];
  for (const [index, token] of left.entries()) {
    const order = index < right.length ? compare(token, right[index]!) : 1;
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

/** Numbers as a whole, all else by the character. */
const tokens = (text: string): string[] => text.match(/\d+|\D/gsu) ?? [];

function compare(one: string, other: string): number {
  const [isNumber, isOtherNumber] = [/^\d/.test(one), /^\d/.test(other)];
  if (isNumber !== isOtherNumber) return isNumber ? -1 : 1;
  if (!isNumber) return byCode(one, other);
  const [digits, otherDigits] = [one.replace(/^0+/, ""), other.replace(/^0+/, "")];
  // The same number with fewer zeros before it comes first.
  return digits.length - otherDigits.length || byCode(digits, otherDigits) || one.length - other.length;
}

const byCode = (one: string, other: string): number => (one === other ? 0 : one < other ? -1 : 1);
