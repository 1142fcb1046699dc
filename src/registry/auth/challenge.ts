/** WWW-Authenticate (RFC 9110, section 11.6.1). */
export interface Challenge {
  /** In lower case. */
  scheme: string;
  parameters: Readonly<Record<string, string>>;
}

const mostLength = 8192;
const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";

/** All challenges of a header; what is malformed ends it. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  let rest = header.slice(0, mostLength).trim();
  const start = new RegExp(`^(${token})(?:\\s+|(?=,)|$)`);
  const parameter = new RegExp(`^,?\\s*(${token})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}))\\s*`);
  for (let match = start.exec(rest); match; match = start.exec(rest)) {
    rest = rest.slice(match[0].length);
    const parameters: Record<string, string> = Object.create(null) as Record<string, string>;
    for (let found = parameter.exec(rest); found; found = parameter.exec(rest)) {
      parameters[(found[1] ?? "").toLowerCase()] = found[3] ?? (found[2] ?? "").replace(/\\(.)/g, "$1");
      rest = rest.slice(found[0].length);
    }
    challenges.push({ scheme: (match[1] ?? "").toLowerCase(), parameters });
    rest = rest.replace(/^,\s*/, "");
  }
  return challenges;
}
