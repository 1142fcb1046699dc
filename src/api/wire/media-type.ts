/** "application/json; charset=utf-8" is "application/json". */
export const mediaTypeOf = (header: string): string => header.split(";", 1)[0]!.trim().toLowerCase();

export const isJson = (header: string | undefined): boolean => header !== undefined && mediaTypeOf(header) === "application/json";
