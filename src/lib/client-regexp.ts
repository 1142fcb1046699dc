/** Regular expressions that clients send, in the syntax that Go's and JavaScript's have in common. */

let isBounded = false;

/** V8 goes over to matching in linear time when an expression takes too many steps. It cannot for those with the flag i or u, or with large counted repeats: these may still hold the thread up. */
function bound(): void {
  if (isBounded) return;
  isBounded = true;
  const { setFlagsFromString } = process.getBuiltinModule("node:v8");
  setFlagsFromString("--enable-experimental-regexp-engine-on-excessive-backtracks");
  setFlagsFromString("--regexp-backtracks-before-fallback=10000");
}

/** Throws for what is no expression. */
export function clientRegExp(source: string): RegExp {
  bound();
  const flags = /^\(\?([ims]+)\)/.exec(source)?.[1] ?? "";
  const body = source.slice(flags === "" ? 0 : flags.length + 3).replaceAll("(?P<", "(?<");
  // As strict as Go's. But the other engine does not know these expressions.
  const strict = new RegExp(body, `u${flags}`);
  return /\\[pPu]/.test(body) ? strict : new RegExp(body, flags);
}
