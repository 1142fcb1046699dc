/** Where the time goes in rows that miss their target, by the row's id; a row that meets it is not mentioned. */
export const explanations: Record<string, string> = {};
