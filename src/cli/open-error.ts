/** An error of opening a file, in Go's words. */
export function openError(file: string, thrown: unknown, call = "open"): Error {
  const { code, message } = thrown as NodeJS.ErrnoException;
  const reasons: Record<string, string> = { ENOENT: "no such file or directory", EACCES: "permission denied", EISDIR: "is a directory", ENOTDIR: "not a directory", EEXIST: "file exists" };
  return new Error(`${code === "EISDIR" && call === "open" ? "read" : call} ${file}: ${reasons[code ?? ""] ?? message}`);
}
