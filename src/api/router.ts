/**
 * Finds the route of a request. Fixed paths are one look-up; patterns are tried in the order in which they were added,
 * among those that share method and first segment.
 *
 *   {name}      one segment; an encoded slash (%2F) in it belongs to the value
 *   {name...}   any text, slashes too: image references have them
 */
import type { Route } from "./route.ts";

export interface Match {
  route: Route;
  params: Record<string, string>;
}

interface Pattern {
  route: Route;
  expression: RegExp;
  names: string[];
}

const PARAMETER = /\{(\w+)(\.\.\.)?\}/g;

export class Router {
  readonly #fixed = new Map<string, Route>();
  readonly #patterns = new Map<string, Pattern[]>();

  constructor(routes: Iterable<Route>) {
    for (const route of routes) this.#add(route);
  }

  #add(route: Route): void {
    if (!route.path.includes("{")) {
      const key = `${route.method} ${route.path}`;
      if (this.#fixed.has(key)) throw new TypeError(`two routes for ${key}`);
      this.#fixed.set(key, route);
      return;
    }
    const names = [...route.path.matchAll(PARAMETER)].map((match) => match[1] as string);
    const source = route.path.replace(/[.*+?^$()|[\]\\]/g, "\\$&").replace(/\{\w+(\\\.\\\.\\\.)?\}/g, (_, spanning?: string) => (spanning === undefined ? "([^/]+)" : "(.*)"));
    const bucket = bucketOf(route.method, route.path);
    const patterns = this.#patterns.get(bucket) ?? [];
    patterns.push({ route, names, expression: new RegExp(`^${source}$`) });
    this.#patterns.set(bucket, patterns);
  }

  /** `path` is as the client sent it, without version and query. Undefined: no such page. Throws URIError for a "%" that is no escape. */
  find(method: string, path: string): Match | undefined {
    const fixed = this.#fixed.get(`${method} ${path}`);
    if (fixed !== undefined) return { route: fixed, params: {} };
    for (const { route, names, expression } of this.#patterns.get(bucketOf(method, path)) ?? []) {
      const values = expression.exec(path);
      if (values !== null) return { route, params: Object.fromEntries(names.map((name, index) => [name, decodeURIComponent(values[index + 1] as string)])) };
    }
    return undefined;
  }
}

function bucketOf(method: string, path: string): string {
  const end = path.indexOf("/", 1);
  return `${method} ${end < 0 ? path : path.slice(0, end)}`;
}

/** The path that Docker redirects to when it is not this one: without empty, "." and ".." segments. A trailing slash stays. */
export function cleanPath(path: string): string {
  if (!/\/\/|\/\.\.?(\/|$)/.test(path) && path.startsWith("/")) return path;
  const kept: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") kept.pop();
    else if (segment !== "" && segment !== ".") kept.push(segment);
  }
  return `/${kept.join("/")}${path.endsWith("/") && kept.length > 0 ? "/" : ""}`;
}
