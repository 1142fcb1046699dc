/** Which lines begin an event: what awslogs-multiline-pattern says, or those with a time of awslogs-datetime-format. */
import { clientRegExp } from "../../lib/client-regexp.ts";
import { messageOf } from "../../lib/errors.ts";
import { quote } from "../../lib/strconv.ts";

/** What Docker takes for each sequence of strftime; others stand for nothing. */
const SEQUENCES: Readonly<Record<string, string>> = {
  a: "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
  A: "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)",
  w: "[0-6]",
  d: "(?:0[1-9]|[12][0-9]|3[01])",
  b: "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
  B: "(?:January|February|March|April|May|June|July|August|September|October|November|December)",
  m: "(?:0[1-9]|1[0-2])",
  Y: "\\d{4}",
  y: "\\d{2}",
  H: "(?:[01][0-9]|2[0-3])",
  I: "(?:0[0-9]|1[0-2])",
  p: "[AP]M",
  M: "[0-5][0-9]",
  S: "[0-5][0-9]",
  f: "\\d{6}",
  z: "[+-]\\d{4}",
  Z: "[A-Z]{1,4}T",
  j: "(?:[0-2][0-9][0-9]|3[0-5][0-9]|36[0-6])",
  L: "\\.\\d{3}",
};

/** Undefined: each line is an event. Throws for what is no pattern. */
export function eventPattern(options: Readonly<Record<string, string>>): RegExp | undefined {
  const format = options["awslogs-datetime-format"] ?? "";
  const pattern = format === "" ? (options["awslogs-multiline-pattern"] ?? "") : format.replace(/%(.)/g, (_, letter: string) => SEQUENCES[letter] ?? "");
  if (pattern === "") return undefined;
  try {
    return clientRegExp(pattern);
  } catch (error) {
    throw new Error(`awslogs could not parse multiline pattern key ${quote(pattern)}: ${messageOf(error)}`, { cause: error });
  }
}
