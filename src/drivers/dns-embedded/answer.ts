/** What the server says of its own knowledge, as Docker's does: names and addresses of the view's networks. */
import { RCODE, TYPE, answerTo, encodeName } from "./message.ts";
import type { Query, ResourceRecord } from "./message.ts";
import { addressOfPointer } from "./names.ts";
import type { NameView, Names } from "./names.ts";

/** Docker's. Names move with their containers, and its clients have learned to ask again. */
const TTL_SECONDS = 600;
const BYTES: Record<number, number> = { [TYPE.A]: 4, [TYPE.AAAA]: 16 };

/** The records of a name that somebody in the view has, perhaps none of the kind asked for; undefined: nobody has it. */
export function localRecords(names: Names, view: NameView, query: Query): ResourceRecord[] | undefined {
  if (!query.internet) return undefined;
  switch (query.type) {
    case TYPE.A:
    case TYPE.AAAA: {
      const addresses = names.resolve(view, query.name)?.filter(({ length }) => length === BYTES[query.type]);
      return addresses && turned(addresses).map((data) => ({ type: query.type, ttl: TTL_SECONDS, data }));
    }
    // Mail goes to the name's addresses then (RFC 5321, 5.1).
    case TYPE.MX:
      return names.resolve(view, query.name) && [];
    case TYPE.PTR: {
      const address = addressOfPointer(query.name);
      const data = address && encodeName(names.reverse(view, address) ?? "");
      return data && [{ type: TYPE.PTR, ttl: TTL_SECONDS, data }];
    }
    default:
      return undefined;
  }
}

let turn = 0;

/** Each answer begins with another one. */
function turned<Value>(values: readonly Value[]): Value[] {
  if (values.length < 2) return [...values];
  const first = turn++ % values.length;
  return [...values.slice(first), ...values.slice(0, first)];
}

/** A bare name is left to the client's search domains where its resolv.conf says so. */
export const staysHome = (query: Query, ndots: number): boolean => ndots > 0 && (query.type === TYPE.A || query.type === TYPE.AAAA) && !query.name.includes(".");

export const failure = (query: Query, maxBytes: number): Buffer => answerTo(query, RCODE.serverFailure, [], maxBytes);
