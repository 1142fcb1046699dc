/** A token server (distribution's auth/token.md and auth/oauth.md) with one user, and the rule by which a fake registry asks for its tokens. */
import { type Asked, FakeRegistry, type Reply, unknown } from "./fake-registry.ts";

export class TokenServer implements AsyncDisposable {
  readonly server: FakeRegistry;
  /** What was granted: the scopes of each token that is valid. */
  readonly granted = new Map<string, string[]>();
  /** Servers of old know only GET. */
  post = true;
  expiresIn: number | undefined = 300;
  /** Tokens so far. */
  issued = 0;

  constructor(server: FakeRegistry) {
    this.server = server;
    server.rule = (asked) => this.#answer(asked);
  }

  static async start(): Promise<TokenServer> {
    return new TokenServer(await FakeRegistry.start());
  }

  /** For a registry: lets in who has a token for the scope. */
  guard(scopeOf: (asked: Asked) => string): (asked: Asked) => Reply | undefined {
    return (asked) => {
      const scope = scopeOf(asked);
      const token = /^Bearer (.*)$/.exec(asked.headers.authorization ?? "")?.[1];
      if (token !== undefined && (scope === "" || this.granted.get(token)?.includes(scope))) return undefined;
      const error = token === undefined ? "" : `,error="${this.granted.has(token) ? "insufficient_scope" : "invalid_token"}"`;
      return { ...unknown("UNAUTHORIZED", 401, "authentication required"), headers: { "www-authenticate": `Bearer realm="${this.server.origin}/token",service="fake"${scope === "" ? "" : `,scope="${scope}"`}${error}` } };
    };
  }

  #answer({ method, url, headers, body }: Asked): Reply {
    if (method === "POST" && !this.post) return { status: 404 };
    const form = method === "POST" ? new URLSearchParams(body.toString()) : url.searchParams;
    const [user, password] = method === "POST" ? [form.get("username") ?? "", form.get("password") ?? ""] : Buffer.from((headers.authorization ?? "").replace("Basic ", ""), "base64").toString().split(":");
    const known = (user === "user" && password === "secret") || form.get("refresh_token") === "lasting";
    if (!known && (user !== "" || form.has("refresh_token"))) return { status: 401, body: JSON.stringify({ details: "incorrect username or password" }) };
    const token = `t${++this.issued}`;
    const scopes = form.getAll("scope").flatMap((scope) => scope.split(" "));
    this.granted.set(token, known ? scopes : scopes.filter((scope) => scope.endsWith("public:pull")));
    const offline = form.get("offline_token") === "true" || form.get("access_type") === "offline";
    return { status: 200, body: JSON.stringify({ [method === "POST" ? "access_token" : "token"]: token, expires_in: this.expiresIn, ...(offline && known ? { refresh_token: "lasting" } : {}) }) };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server[Symbol.asyncDispose]();
  }
}
