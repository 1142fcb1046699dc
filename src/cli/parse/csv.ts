/** One record of comma-separated values by the rules of Go's encoding/csv, with its error texts. */
export function parseCsv(text: string): string[] {
  const fields: string[] = [];
  let at = 0;
  for (;;) {
    if (text[at] === '"') {
      const { field, end } = quoted(text, at);
      fields.push(field);
      at = end;
    } else {
      const comma = text.indexOf(",", at);
      const field = text.slice(at, comma < 0 ? undefined : comma);
      if (field.includes('"')) throw new Error(`parse error on line 1, column ${at + field.indexOf('"') + 1}: bare " in non-quoted-field`);
      fields.push(field);
      at += field.length;
    }
    if (at >= text.length) return fields;
    at++;
  }
}

function quoted(text: string, start: number): { field: string; end: number } {
  let field = "";
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] !== '"') field += text[at];
    else if (text[at + 1] === '"') {
      field += '"';
      at++;
    } else if (at + 1 === text.length || text[at + 1] === ",") return { field, end: at + 1 };
    else throw new Error(`parse error on line 1, column ${at + 2}: extraneous or missing " in quoted-field`);
  }
  throw new Error(`parse error on line 1, column ${text.length + 1}: extraneous or missing " in quoted-field`);
}
