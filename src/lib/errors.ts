/**
 * The one error class of the engine. A code says what kind of failure it is, in the vocabulary of moby's errdefs; the
 * message says what was asked, what was found and what to do, in Docker's own words where clients match on them. The API
 * maps codes to HTTP statuses in one exhaustive table (src/api/status.ts).
 */
export type ErrorCode =
  | "invalid-parameter"
  | "unauthorized"
  | "forbidden"
  | "not-found"
  | "not-modified"
  | "conflict"
  | "not-implemented"
  | "unavailable"
  | "cancelled"
  | "deadline"
  | "data-loss"
  | "system";

export class GantryError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "GantryError";
    this.code = code;
  }
}

export const invalidParameter = (message: string, cause?: unknown): GantryError => new GantryError("invalid-parameter", message, { cause });
export const forbidden = (message: string, cause?: unknown): GantryError => new GantryError("forbidden", message, { cause });
export const notFound = (message: string, cause?: unknown): GantryError => new GantryError("not-found", message, { cause });
export const conflict = (message: string, cause?: unknown): GantryError => new GantryError("conflict", message, { cause });
export const notModified = (message: string): GantryError => new GantryError("not-modified", message);
export const notImplemented = (message: string): GantryError => new GantryError("not-implemented", message);
export const unavailable = (message: string, cause?: unknown): GantryError => new GantryError("unavailable", message, { cause });
export const systemError = (message: string, cause?: unknown): GantryError => new GantryError("system", message, { cause });

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The code of anything that was thrown: a GantryError's own, "system" for the rest. */
export function codeOf(thrown: unknown): ErrorCode {
  return thrown instanceof GantryError ? thrown.code : "system";
}
