/** Garbage collection as a pure function: what is reachable stays. */

/** Every node that the roots lead to, the roots among them. `references` says where one node leads; it is asked once for each. */
export function reachable<Node>(roots: Iterable<Node>, references: (node: Node) => Iterable<Node>): Set<Node> {
  const seen = new Set<Node>(roots);
  /* A Set's iteration also visits what is added while it runs. */
  for (const node of seen) for (const next of references(node)) seen.add(next);
  return seen;
}
