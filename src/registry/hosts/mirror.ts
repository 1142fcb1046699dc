/** daemon.json's registry-mirrors: checked as Docker does. */
import { invalidParameter } from "../../lib/errors.ts";
import { quote } from "../../lib/strconv.ts";

/** The normal form, which ends in "/". Throws "invalid-parameter" in Docker's words. */
export function parseMirror(text: string): string {
  if (!/^[^:]+:\/\//.test(text)) throw invalidParameter(`invalid mirror: no scheme specified for ${quote(text)}: must use either 'https://' or 'http://'`);
  const url = URL.parse(text);
  if (!url) throw invalidParameter(`invalid mirror: ${quote(text)} is not a valid URI`);
  if (url.protocol !== "http:" && url.protocol !== "https:") throw invalidParameter(`invalid mirror: unsupported scheme ${quote(url.protocol.slice(0, -1))} in ${quote(text)}: must use either 'https://' or 'http://'`);
  if (url.search !== "" || url.hash !== "") throw invalidParameter(`invalid mirror: query or fragment at end of the URI ${quote(text)}`);
  if (url.username !== "" || url.password !== "") {
    url.password = "xxxxx";
    throw invalidParameter(`invalid mirror: username/password not allowed in URI ${quote(url.href)}`);
  }
  return `${text.replace(/\/$/, "")}/`;
}
