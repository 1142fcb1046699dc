/** HTTP statuses of errors. The table is exhaustive: a new code of src/lib/errors.ts does not compile without its row. */
import { codeOf, type ErrorCode } from "../lib/errors.ts";

const STATUS: Record<ErrorCode, number> = {
  "invalid-parameter": 400,
  unauthorized: 401,
  forbidden: 403,
  "not-found": 404,
  "not-modified": 304,
  conflict: 409,
  "not-implemented": 501,
  unavailable: 503,
  cancelled: 500,
  deadline: 500,
  "data-loss": 500,
  system: 500,
};

/** The status that anything thrown by a handler is answered with. */
export const statusOf = (thrown: unknown): number => STATUS[codeOf(thrown)];
