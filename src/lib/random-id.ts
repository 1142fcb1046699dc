/** The 64 hexadecimal digits that name containers, endpoints and the like. */
import { randomFillSync } from "node:crypto";

const ID_BYTES = 32;
const pool = Buffer.alloc(ID_BYTES * 128);
let used = pool.length;

/** Random; asks the kernel once for many. */
export function randomId(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  return pool.toString("hex", used, (used += ID_BYTES));
}
