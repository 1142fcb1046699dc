/** How daemons behind ssh:// are named and reached. */

export interface SshTarget {
  user: string;
  host: string;
  port: string;
  /** The daemon's socket over there; "" for its default. */
  path: string;
}

/** `ssh://[USER@]HOST[:PORT][/PATH]`. Throws an Error that says what is wrong with it. */
export function parseSshUrl(text: string): SshTarget {
  const fail = (reason: string): never => {
    throw new Error(`invalid SSH URL: ${reason}`);
  };
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return fail(`${JSON.stringify(text)} is no URL`);
  }
  if (url.password !== "") fail("plain-text password is not supported");
  if (url.hostname === "") fail("hostname is empty");
  if (url.search !== "") fail(`query parameters are not allowed: ${JSON.stringify(url.search.slice(1))}`);
  if (url.hash !== "") fail(`fragments are not allowed: ${JSON.stringify(url.hash.slice(1))}`);
  const path = decodeURIComponent(url.pathname).replace(/^\/$/, "");
  return { user: decodeURIComponent(url.username), host: url.hostname.replace(/^\[|\]$/g, ""), port: url.port, path };
}

/** What the ssh program is called with. The far side may have either client; any shell understands the words. */
export function sshArguments({ user, host, port, path }: SshTarget): string[] {
  const socket = path === "" ? "" : ` --host ${inner(`unix://${path}`)}`;
  const command = (program: string): string => `exec ${program}${socket} system dial-stdio`;
  const script = `if command -v docker >/dev/null 2>&1; then ${command("docker")}; else ${command("gantry")}; fi`;
  return [...(user === "" ? [] : ["-l", user]), ...(port === "" ? [] : ["-p", port]), "-o", "ConnectTimeout=30", "-T", "--", host, `sh -c '${script}'`];
}

/** For a word inside of single quotes: nothing in it may end them. */
function inner(word: string): string {
  if (/['\\!\n]/.test(word)) throw new Error(`invalid SSH URL: a path with quotes, backslashes, exclamation marks or line ends is not supported: ${JSON.stringify(word)}`);
  return `"${word.replace(/[$`"]/g, "\\$&")}"`;
}
