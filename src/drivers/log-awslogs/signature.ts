/** AWS Signature Version 4 of a request with its body in memory. */
import { createHash, createHmac } from "node:crypto";

export interface Credentials {
  accessKey: string;
  secretKey: string;
  /** Of temporary ones. */
  token?: string;
}

export interface Scope {
  region: string;
  service: string;
}

interface Signable {
  method: string;
  url: URL;
  headers: Readonly<Record<string, string>>;
  body: Buffer;
}

const hash = (data: string | Buffer): string => createHash("sha256").update(data).digest("hex");
const keyed = (key: string | Buffer, data: string): Buffer => createHmac("sha256", key).update(data).digest();

/** The headers, with the host's, the time's and the signature's. */
export function signed({ method, url, headers, body }: Signable, { credentials, scope: { region, service }, now }: { credentials: Credentials; scope: Scope; now: Date }): Record<string, string> {
  const time = now.toISOString().replaceAll(/[-:]|\.\d+/g, "");
  const day = time.slice(0, 8);
  const all: Record<string, string> = { ...headers, host: url.host, "x-amz-date": time, ...(credentials.token !== undefined && { "x-amz-security-token": credentials.token }) };
  const names = Object.keys(all).sort();
  const query = [...url.searchParams].map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`).sort().join("&");
  const canonical = [method, url.pathname, query, ...names.map((name) => `${name}:${all[name]?.trim()}`), "", names.join(";"), hash(body)].join("\n");
  const place = `${day}/${region}/${service}/aws4_request`;
  const key = [region, service, "aws4_request"].reduce(keyed, keyed(`AWS4${credentials.secretKey}`, day));
  const signature = createHmac("sha256", key).update(`AWS4-HMAC-SHA256\n${time}\n${place}\n${hash(canonical)}`).digest("hex");
  return { ...all, authorization: `AWS4-HMAC-SHA256 Credential=${credentials.accessKey}/${place}, SignedHeaders=${names.join(";")}, Signature=${signature}` };
}
