/** Environment variables as lists of KEY=VALUE. */

const HIDDEN = "<hidden>";

/** The same variables, for eyes that must not see their values. */
export function withoutValues(variables: readonly string[]): string[] {
  return variables.map((variable) => variable.replace(/=.*/s, `=${HIDDEN}`));
}
