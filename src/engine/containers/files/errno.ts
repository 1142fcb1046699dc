/** What Go says of the errors that looking up a path meets; other names speak for themselves. */
const texts: Record<string, string> = {
  EACCES: "permission denied",
  EINVAL: "invalid argument",
  EIO: "input/output error",
  ELOOP: "too many levels of symbolic links",
  ENAMETOOLONG: "file name too long",
  ENOTDIR: "not a directory",
};

export const errnoText = (code: string): string => texts[code] ?? code;

/** Of a container's process that was to be entered. */
export const hasEnded = (error: unknown): boolean => (error as { code?: unknown } | undefined)?.code === "ESRCH";
