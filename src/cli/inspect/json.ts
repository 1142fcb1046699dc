/** Re-indents JSON without reading its values: numbers and escapes stay as the daemon wrote them. */
export function indentJson(json: string, indent = "    "): string {
  let out = "";
  let depth = 0;
  const line = (): string => `\n${indent.repeat(depth)}`;
  for (let at = 0; at < json.length; at++) {
    const char = json[at] as string;
    if (char === '"') {
      const end = stringEnd(json, at);
      out += json.slice(at, end);
      at = end - 1;
    } else if (char === "{" || char === "[") {
      const close = nextToken(json, at + 1);
      if (json[close] === "}" || json[close] === "]") {
        out += char + (json[close] as string);
        at = close;
      } else {
        depth++;
        out += char + line();
      }
    } else if (char === "}" || char === "]") {
      depth--;
      out += line() + char;
    } else if (char === ",") out += char + line();
    else if (char === ":") out += ": ";
    else if (!/\s/.test(char)) out += char;
  }
  return out;
}

function stringEnd(json: string, start: number): number {
  for (let at = start + 1; at < json.length; at++) {
    if (json[at] === "\\") at++;
    else if (json[at] === '"') return at + 1;
  }
  return json.length;
}

function nextToken(json: string, start: number): number {
  let at = start;
  while (/\s/.test(json[at] ?? "")) at++;
  return at;
}

export const compactJson = (json: string): string => json.replace(/("(?:[^"\\]|\\.)*")|\s+/g, "$1");
