import { ApiError } from "../../api/client.ts";
import { printNote } from "../../note.ts";
import { credentialsFor, hostOfServer, INDEX_SERVER, warnOfEnvironment } from "../../registry/auth.ts";
import type { AuthConfig } from "../../registry/auth.ts";
import { storeCredentials } from "../../registry/store.ts";
import type { Session } from "../../session.ts";
import { stdin } from "../../streams.ts";

interface LoginAnswer {
  Status?: string;
  IdentityToken?: string;
}

export async function run(session: Session): Promise<void> {
  const { flags } = session;
  const given = checkFlags(session);
  const address = session.args[0];
  warnOfEnvironment();
  const server = address === undefined || address === "docker.io" || address === INDEX_SERVER ? INDEX_SERVER : hostOfServer(address);
  const stored = given.user === "" && given.password === "" ? credentialsFor(session.config.data, server) : {};
  if (stored.username && stored.password) {
    session.err.line(`Authenticating with existing credentials... [Username: ${stored.username}]`);
    printNote(session.err, "Info", "To login with a different account, run 'docker logout' followed by 'docker login'");
    session.err.write("\n\n");
    if (await tryStored(session, { ...stored, serveraddress: server })) return;
  }
  if (flags.string("password") !== "" && flags.string("password") !== "-") session.err.line("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
  if ((given.user === "" || given.password === "") && !stdin.isTerminal) throw new Error("error: cannot perform an interactive login from a non-TTY device");
  const username = given.user || (await ask(session, stored.username ? `Username (${stored.username}): ` : "Username: ", true)) || stored.username || "";
  if (username === "") throw new Error("error: username is required");
  const password = given.password || (await ask(session, "Password: ", false));
  if (password === "") throw new Error("error: password is required");
  await login(session, { username, password, serveraddress: server });
}

function checkFlags(session: Session): { user: string; password: string } {
  const { flags } = session;
  const password = flags.string("password");
  const fromStdin = flags.bool("password-stdin") || password === "-";
  if (fromStdin && flags.changed("password") && password !== "-") throw new Error("conflicting options: cannot specify both --password and --password-stdin");
  if (fromStdin && !flags.changed("username")) throw new Error("the --password-stdin option requires --username to be set");
  if (flags.changed("username") && flags.string("username") === "") throw new Error("username is empty");
  if (flags.changed("password") && password === "") throw new Error("password is empty");
  if (!fromStdin) return { user: flags.string("username").trim(), password };
  const secret = stdin.text().replace(/(\r\n|\n|\r)$/, "");
  if (secret.trim() === "") throw new Error("password is empty");
  return { user: flags.string("username").trim(), password: secret };
}

async function tryStored(session: Session, auth: AuthConfig): Promise<boolean> {
  try {
    await login(session, auth);
    return true;
  } catch (thrown) {
    if (!(thrown instanceof ApiError)) throw thrown;
    session.err.line(thrown.status === 401 ? "Stored credentials invalid or expired" : `Login did not succeed, error: ${thrown.message}`);
    return false;
  }
}

async function login(session: Session, auth: AuthConfig): Promise<void> {
  const answer = await session.client.json<LoginAnswer | undefined>("POST", "/auth", { json: auth });
  const { password: _password, ...withoutPassword } = auth;
  storeCredentials(session.config, answer?.IdentityToken ? { ...withoutPassword, identitytoken: answer.IdentityToken } : auth);
  if (answer?.Status) session.out.line(answer.Status);
}

/** Reads a line from the terminal, shown or not. */
async function ask(session: Session, question: string, shown: boolean): Promise<string> {
  session.out.write(question);
  if (shown) return stdin.line()?.trim() ?? "";
  process.stdin.setRawMode(true);
  try {
    return await hiddenLine();
  } finally {
    process.stdin.setRawMode(false);
    session.out.write("\n");
  }
}

const INTERRUPT = 3;
const END = 4;
const BACKSPACE = 127;

async function hiddenLine(): Promise<string> {
  const bytes: number[] = [];
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    for (const byte of chunk) {
      if (byte === INTERRUPT) throw new Error("prompt has been terminated");
      if (byte === END || byte === 10 || byte === 13) return Buffer.from(bytes).toString().trim();
      if (byte === BACKSPACE) bytes.pop();
      else bytes.push(byte);
    }
  }
  return Buffer.from(bytes).toString().trim();
}
