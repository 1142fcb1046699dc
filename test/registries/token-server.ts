/**
 * A token server for docker-registry: `token-server.ts PORT CERTIFICATE KEY`. User "user" with password "secret" may do everything, others may pull
 * repositories called public. Tokens (RFC 7519, ES256) are good for as many seconds as TOKEN_SECONDS says; each is written to stdout as "token SCOPES".
 */
import { createPrivateKey, randomUUID, sign, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";

const [port = "", certificate = "", key = ""] = process.argv.slice(2);
const seconds = Number(process.env["TOKEN_SECONDS"] ?? 60);
const privateKey = createPrivateKey(readFileSync(key));
const x5c = [new X509Certificate(readFileSync(certificate)).raw.toString("base64")];
const encode = (json: object): string => Buffer.from(JSON.stringify(json)).toString("base64url");

interface Question {
  user: string;
  password: string;
  service: string;
  scopes: string[];
  offline: boolean;
}

async function questionOf(req: IncomingMessage): Promise<Question> {
  const { searchParams: query } = new URL(req.url ?? "", "http://x");
  const form = req.method === "POST" ? new URLSearchParams(await text(req)) : query;
  const basic = Buffer.from((req.headers.authorization ?? "").replace("Basic ", ""), "base64").toString();
  const refresh = form.get("refresh_token") === "lasting";
  return {
    user: refresh ? "user" : (form.get("username") ?? basic.split(":")[0] ?? ""),
    password: refresh ? "secret" : (form.get("password") ?? basic.split(":")[1] ?? ""),
    service: form.get("service") ?? "",
    scopes: form.getAll("scope").flatMap((scope) => scope.split(" ")),
    offline: form.has("offline_token") || form.get("access_type") === "offline",
  };
}

function tokenFor({ user, service, scopes }: Question): string {
  const now = Math.floor(Date.now() / 1000);
  const access = scopes.flatMap((scope) => {
    const [type = "", name = "", actions = ""] = scope.split(":");
    const granted = user === "user" ? actions.split(",") : actions.split(",").filter((action) => action === "pull" && name.startsWith("public"));
    return granted.length === 0 ? [] : [{ type, name, actions: granted }];
  });
  const claims = { iss: "test", sub: user, aud: service, iat: now, nbf: now - 10, exp: now + seconds, jti: randomUUID(), access };
  const signed = `${encode({ typ: "JWT", alg: "ES256", x5c })}.${encode(claims)}`;
  return `${signed}.${sign("sha256", Buffer.from(signed), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

createServer((req, res) => {
  void questionOf(req).then((question) => {
    if (question.user !== "" && (question.user !== "user" || question.password !== "secret")) {
      res.writeHead(401, { "content-type": "application/json" }).end(JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: "incorrect username or password" }] }));
      return;
    }
    process.stdout.write(`token ${question.scopes.join(" ")}\n`);
    const token = tokenFor(question);
    res.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ token, access_token: token, expires_in: seconds, ...(question.offline && question.user !== "" ? { refresh_token: "lasting" } : {}) }));
  });
}).listen(Number(port), "127.0.0.1");
