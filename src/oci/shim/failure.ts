/** From a step's errno to the error that a user reads: runc's words where clients match on them. */
import type { RuntimeFailure } from "../../core/runtime.ts";
import { GantryError } from "../../lib/errors.ts";
import type { ErrorCode } from "../../lib/errors.ts";
import { errnoName, ShimError } from "./client.ts";
import type { ShimFailure } from "./protocol.ts";

/** What strerror(3) says, for the errors that a start meets; other names speak for themselves. */
const errnoTexts: Record<string, string> = {
  E2BIG: "argument list too long",
  EACCES: "permission denied",
  EAGAIN: "resource temporarily unavailable",
  ECHILD: "the program failed or was killed",
  EBUSY: "device or resource busy",
  EEXIST: "file exists",
  EFBIG: "file too large",
  EINVAL: "invalid argument",
  EIO: "input/output error",
  EISDIR: "is a directory",
  ELOOP: "too many levels of symbolic links",
  ENAMETOOLONG: "file name too long",
  ENODEV: "no such device",
  ENOENT: "no such file or directory",
  ENOEXEC: "exec format error",
  ENOMEM: "cannot allocate memory",
  ENOSPC: "no space left on device",
  ENOTDIR: "not a directory",
  ENOTSUP: "operation not supported",
  EPERM: "operation not permitted",
  EROFS: "read-only file system",
  ESRCH: "no such process",
  ETIMEDOUT: "timed out",
  ETXTBSY: "text file busy",
};

export const errnoText = (errno: number): string => errnoTexts[errnoName(errno)] ?? errnoName(errno);

export type Phase = "create" | "start" | "exec";

const prefixes: Record<Phase, string> = {
  create: "OCI runtime create failed: unable to start container process: error during container init: ",
  start: "OCI runtime start failed: unable to start container process: ",
  exec: "OCI runtime exec failed: exec failed: unable to start container process: ",
};

/** The error of a process that could not be made. `opName` says which op of the plan a failure's section and index mean. */
export function startError(error: unknown, phase: Phase, opName: (failure: ShimFailure) => string | undefined = () => undefined): GantryError {
  if (error instanceof GantryError) return error;
  if (!(error instanceof ShimError)) return new GantryError("system", prefixes[phase] + (error instanceof Error ? error.message : String(error)), { cause: error });
  const { failure } = error;
  const step = opName(failure) ?? failure.step;
  const errno = isKindMismatch(failure, step) ? "ENOTDIR" : errnoName(failure.errno);
  const cause: RuntimeFailure = { step, errno, subject: failure.subject, kind: kindOf(failure, errno) };
  return new GantryError(codeOf(cause), messageOf(failure, errno, step, phase), { cause });
}

/** move_mount(2) says EINVAL when one is a folder and the other is not. */
const isKindMismatch = ({ step, errno }: ShimFailure, opName: string): boolean => (opName === "bind" || opName === "mount") && step === "move_mount" && errnoName(errno) === "EINVAL";

function kindOf({ section, step }: ShimFailure, errno: string): RuntimeFailure["kind"] {
  if (section !== "exec") return "other";
  if (step === "user" || step === "group") return errno === "ENOENT" || errno === "ERANGE" ? "user-not-found" : "other";
  if (step === "path") return "program-not-found";
  if (step !== "exec") return "other";
  return errno === "ENOENT" || errno === "ENOTDIR" ? "program-not-found" : "program-not-executable";
}

/** Docker answers 400 for what the request itself got wrong; it tells by the words of these errors, wherever they come from. */
function codeOf({ kind, step, errno }: RuntimeFailure): ErrorCode {
  if (kind === "user-not-found") return "system";
  if (kind !== "other") return "invalid-parameter";
  if (step === "cwd" && errno !== "EIO") return "invalid-parameter";
  return errno === "ENOENT" || errno === "ENOTDIR" || errno === "EACCES" ? "invalid-parameter" : "system";
}

/** Of run_exec in native/shim/process.c. */
const execveIndex = 5;

function messageOf({ section, index, step, subject }: ShimFailure, errno: string, opName: string, phase: Phase): string {
  const text = errnoTexts[errno] ?? errno;
  if (section === "exec" && (step === "user" || step === "group")) return identityMessage(step, subject, errno, text);
  const quoted = JSON.stringify(subject);
  const prefix = prefixes[phase];
  if (step === "path") return `${prefix}exec: ${quoted}: executable file not found in $PATH`;
  // execve itself, after it was seen that the file is there: what the file names is not.
  if (section === "exec" && step === "exec" && index === execveIndex && errno === "ENOENT") return `${prefix}exec ${subject}: ${text}`;
  if (section === "exec" && step === "exec") return prefix + execMessage(quoted, subject, errno, text);
  if (opName === "hook") return `${prefix}error running hook ${subject}${errno === "ETIMEDOUT" ? `: ${text}` : ""}`;
  if (step === "seccompListener") return `${prefix}failed to connect with seccomp agent specified in the seccomp profile (linux.seccomp.listenerPath ${quoted}): ${text}`;
  if (step === "cwd") return `${prefix}chdir to cwd (${quoted}) set in config.json failed: ${text}`;
  const hint = step === "move_mount" && errno === "ENOTDIR" ? ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type" : "";
  return `${prefix}${opName}${opName === step ? "" : ` (${step})`}${subject ? ` ${quoted}` : ""}: ${text}${hint}`;
}

function execMessage(quoted: string, subject: string, errno: string, text: string): string {
  if (errno === "ENOENT") return `exec: ${quoted}: stat ${subject}: no such file or directory`;
  return `exec: ${quoted}: ${errno === "EISDIR" ? "is a directory: permission denied" : text}`;
}

/** In the words of moby's user package. */
function identityMessage(step: "user" | "group", subject: string, errno: string, text: string): string {
  if (errno === "ENOENT") return `unable to find ${step} ${subject}: no matching entries in ${step === "user" ? "passwd" : "group"} file`;
  if (errno === "ERANGE") return "uids and gids must be in range 0-2147483647";
  return `unable to look up the ${step}: ${subject}: ${errno === "EINVAL" ? "not a regular file" : text}`;
}

/** The error of a request to a shim about a process that exists, or did. */
export function requestError(error: unknown, what: string): GantryError {
  if (error instanceof GantryError) return error;
  if (!(error instanceof ShimError)) return new GantryError("not-found", `${what}: no such process`, { cause: error });
  if (error.code === "ESRCH") return new GantryError("not-found", `${what}: no such process`, { cause: error });
  return new GantryError("system", `${what}: ${errnoTexts[error.code] ?? error.code}`, { cause: error });
}
