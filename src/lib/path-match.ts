/** Go's path.Match: "*" and "?" do not match a slash, "[a-z]" and "[^a]" are classes, "\" quotes. */

/** False for malformed patterns. */
export function matchPath(pattern: string, text: string): boolean {
  const expression = toExpression(pattern);
  return expression?.test(text) ?? false;
}

function toExpression(pattern: string): RegExp | undefined {
  if (pattern.length > 4096) return undefined;
  let source = "";
  for (let at = 0; at < pattern.length; at++) {
    const c = pattern.charAt(at);
    if (c === "*") source += source.endsWith("[^/]*") ? "" : "[^/]*";
    else if (c === "?") source += "[^/]";
    else if (c === "[") {
      const end = endOfClass(pattern, at);
      if (end === undefined) return undefined;
      source += classSource(pattern.slice(at + 1, end));
      at = end;
    } else if (c === "\\") {
      if (++at >= pattern.length) return undefined;
      source += quoted(pattern.charAt(at));
    } else source += quoted(c);
  }
  try {
    return new RegExp(`^${source}$`, "su");
  } catch {
    return undefined;
  }
}

const quoted = (c: string): string => c.replace(/[\\^$.*+?()[\]{}|/]/, "\\$&");

function endOfClass(pattern: string, start: number): number | undefined {
  const first = pattern.charAt(start + 1) === "^" ? start + 2 : start + 1;
  for (let at = first; at < pattern.length; at++) {
    if (pattern.charAt(at) === "\\") at++;
    else if (pattern.charAt(at) === "]") return at === first ? undefined : at;
  }
  return undefined;
}

function classSource(body: string): string {
  const negated = body.startsWith("^");
  const members = (negated ? body.slice(1) : body).replace(/\\(.)|([[^])/gsu, (_, escaped: string | undefined, plain: string | undefined) => (escaped === "-" ? "\\-" : quoted(escaped ?? plain ?? "")));
  return `[${negated ? "^" : ""}${members}]`;
}
